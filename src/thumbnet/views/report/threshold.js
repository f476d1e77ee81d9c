"use strict";
// The threshold that a reader moves: counts, figures and a dot on both curves follow.
(() => {
  const byId = (id) => document.getElementById(id);
  const { positives, negatives, kept, points, box, z } = JSON.parse(byId("threshold-values").textContent);
  const slider = byId("threshold-slider");
  const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
  // Wilson's interval of a share, as evaluation/intervals.py has it.
  const wilson = (count, of) => {
    const [share, spread] = [count / of, (z * z) / of];
    const centre = (share + spread / 2) / (1 + spread);
    const arm = (z * Math.sqrt((share * (1 - share)) / of + spread / (4 * of))) / (1 + spread);
    return [Math.max(0, centre - arm), Math.min(1, centre + arm)];
  };
  const boundsText = (bounds) => bounds.map((bound) => (100 * bound).toFixed(1)).join(" to ");
  const put = (name, text) => {
    for (const cell of document.querySelectorAll(`[data-figure="${name}"]`)) cell.textContent = text;
  };
  const dots = [...document.querySelectorAll("#threshold .chart svg")].map((svg) => {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    dot.setAttribute("class", "chosen");
    dot.setAttribute("r", "5");
    svg.append(dot);
    return dot;
  });
  const place = (dot, x, y) => {
    dot.setAttribute("cx", box.left + x * (box.right - box.left));
    dot.setAttribute("cy", box.bottom - y * (box.bottom - box.top));
  };

  const show = () => {
    const [text, tp, fp] = points[slider.value];
    const [fn, tn] = [positives - tp, negatives - fp];
    const precision = tp + fp ? tp / (tp + fp) : 0;
    const [recall, specificity] = [tp / positives, tn / negatives];
    Object.entries({ tp, fp, fn, tn }).forEach(([name, count]) => put(name, count));
    const figures = { precision, recall, specificity, f1: (2 * tp) / (2 * tp + fp + fn), accuracy: (tp + tn) / (positives + negatives) };
    Object.entries(figures).forEach(([name, share]) => put(name, percent(share)));
    const bounds = {
      precision: tp + fp ? wilson(tp, tp + fp) : [],
      recall: wilson(tp, positives),
      specificity: wilson(tn, negatives),
      f1: wilson(tp, positives + fp).map((share) => (2 * share) / (1 + share)),
      accuracy: wilson(tp + tn, positives + negatives),
    };
    Object.entries(bounds).forEach(([name, each]) => put(`${name}-interval`, boundsText(each)));
    byId("threshold-shown").textContent = text;
    slider.setAttribute("aria-valuetext", `${text}: recall ${percent(recall)}, precision ${percent(precision)}`);
    byId("threshold-status").textContent = `Threshold ${text}: ${tp} found, ${fn} missed, ${fp} false alarms`;
    place(dots[0], 1 - specificity, recall);
    place(dots[1], recall, precision);
  };
  const reset = () => {
    slider.value = kept;
    show();
  };

  byId("threshold-control").hidden = false;
  slider.addEventListener("input", show);
  byId("threshold-reset").addEventListener("click", reset);
  reset();
})();
