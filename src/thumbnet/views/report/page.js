"use strict";
// The gallery with its filters, the confusion matrix that sets them, tables that sort, charts that show their values.
(() => {
  const byId = (id) => document.getElementById(id);
  // What the gallery shows; null in the report of several seeds, which has none.
  const values = JSON.parse(byId("gallery-values")?.textContent ?? "null");
  const PAGE = 60; // images shown at once, and added by "Show more"
  const [INDEX, TRUTH, PREDICTION, CONFIDENCE, LOSS, PATH] = [0, 1, 2, 3, 4, 5];
  const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

  function charts() {
    for (const chart of document.querySelectorAll(".chart")) {
      const { width, x_label, labels, stops } = JSON.parse(chart.querySelector("script").textContent);
      const svg = chart.querySelector("svg");
      const cursor = svg.querySelector(".cursor");
      const tooltip = chart.querySelector(".tooltip");
      let current = -1;
      const show = (index) => {
        current = index;
        const [position, x, ...readings] = stops[index];
        const lines = readings.map((reading, number) => reading && `${labels[number]}: ${reading}`).filter(Boolean);
        tooltip.textContent = [`${x_label}: ${x}`, ...lines].join("\n");
        tooltip.hidden = false;
        cursor.setAttribute("x1", position);
        cursor.setAttribute("x2", position);
        cursor.style.visibility = "visible";
        const at = (position / width) * svg.clientWidth + parseFloat(getComputedStyle(svg).marginLeft);
        tooltip.style.left = `${Math.max(0, Math.min(at + 12, chart.clientWidth - tooltip.offsetWidth))}px`;
      };
      const hide = () => {
        tooltip.hidden = true;
        cursor.style.visibility = "hidden";
      };
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const at = ((event.clientX - box.left) / box.width) * width;
        let nearest = 0;
        stops.forEach(([position], index) => {
          if (Math.abs(position - at) < Math.abs(stops[nearest][0] - at)) nearest = index;
        });
        show(nearest);
      });
      svg.addEventListener("pointerleave", hide);
      chart.addEventListener("blur", hide);
      chart.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (event.target !== chart || !step) return;
        event.preventDefault();
        show(Math.max(0, Math.min(current + step, stops.length - 1)));
      });
    }
  }

  // A shadow at the edge beyond which a table or a picture goes on.
  function scrolling() {
    for (const area of document.querySelectorAll(".scroll")) {
      const frame = document.createElement("div");
      frame.className = "frame";
      area.replaceWith(frame);
      frame.append(area);
      const mark = () => {
        frame.classList.toggle("more-left", area.scrollLeft > 1);
        frame.classList.toggle("more-right", area.scrollLeft + area.clientWidth < area.scrollWidth - 1);
      };
      area.addEventListener("scroll", mark, { passive: true });
      new ResizeObserver(mark).observe(area);
    }
  }

  function sorting() {
    const table = document.querySelector("#class-table, #trial-table");
    const body = table.tBodies[0];
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const button = header.querySelector("button");
      button.addEventListener("click", () => {
        const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of headers) other.setAttribute("aria-sort", "none");
        header.setAttribute("aria-sort", direction);
        const value = (row) => row.cells[column].dataset.value;
        const order = button.dataset.kind === "number"
          ? (a, b) => value(a) - value(b)
          : (a, b) => value(a).localeCompare(value(b));
        const rows = [...body.rows].sort(order);
        body.append(...(direction === "ascending" ? rows : rows.reverse()));
      });
    });
  }

  const loaded = (sheet) => {
    if (sheet === null) return Promise.resolve(null);
    const picture = new Image();
    picture.src = sheet.url;
    return picture.decode().then(() => picture);
  };

  async function showGallery() {
    const [images, overlays] = await Promise.all([loaded(values.images), loaded(values.overlays)]);
    const { classes, confusion, gallery } = values;
    const [truth, prediction, confidence] = ["truth", "prediction", "confidence"].map((name) => byId(`filter-${name}`));
    const saliency = byId("show-saliency");
    const [grid, more, count] = [byId("gallery-grid"), byId("gallery-more"), byId("gallery-count")];
    let matching = [];
    let number = PAGE;

    const draw = (canvas, position) => {
      const { width, height, columns } = values.images;
      const pen = canvas.getContext("2d");
      const place = [(position % columns) * width, Math.floor(position / columns) * height, width, height];
      pen.clearRect(0, 0, width, height);
      pen.drawImage(images, ...place, 0, 0, width, height);
      if (saliency.checked && overlays !== null && position < values.overlays.tiles) {
        const [across, down] = [position % values.overlays.columns, Math.floor(position / values.overlays.columns)];
        pen.drawImage(overlays, across * width, down * height, width, height, 0, 0, width, height);
      }
    };
    const add = (parent, tag, text, name) => {
      const element = document.createElement(tag);
      element.textContent = text;
      if (name) element.className = name;
      parent.append(element);
    };
    const card = (position) => {
      const row = gallery[position];
      const [is, guess] = [classes[row[TRUTH]], classes[row[PREDICTION]]];
      const figure = document.createElement("figure");
      Object.assign(figure.dataset, { truth: row[TRUTH], prediction: row[PREDICTION], confidence: row[CONFIDENCE] });
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [values.images.width, values.images.height];
      canvas.setAttribute("role", "img");
      const name = row.length > PATH ? row[PATH] : `#${row[INDEX]}`;
      canvas.setAttribute("aria-label", `image ${name}: truth ${is}, prediction ${guess}`);
      draw(canvas, position);
      const caption = document.createElement("figcaption");
      add(caption, "b", is);
      caption.append(" → ");
      add(caption, "span", `${guess} ${percent(row[CONFIDENCE])}`, "guess");
      add(caption, "span", `loss ${row[LOSS].toFixed(2)}`, "details");
      add(caption, "span", name, "details");
      figure.append(canvas, caption);
      return figure;
    };
    const wrongInMatrix = () => {
      let sum = 0;
      const rows = truth.value === "" ? classes.keys() : [Number(truth.value)];
      for (const row of rows) {
        for (const [column, number] of confusion[row]) {
          if (row !== column && (prediction.value === "" || Number(prediction.value) === column)) sum += number;
        }
      }
      return sum;
    };
    const append = (first) => {
      grid.append(...matching.slice(first, number).map(card));
      more.hidden = matching.length <= number;
    };
    const render = () => {
      grid.replaceChildren();
      append(0);
      const whole = wrongInMatrix();
      const oneCell = truth.value !== "" && prediction.value !== "";
      const hidden = oneCell && matching.length < whole && confidence.value === "0" ? ": the others have a lower loss" : "";
      const of = confidence.value === "0" ? whole : gallery.length;
      count.textContent = `${matching.length.toLocaleString("en")} of ${of.toLocaleString("en")} images${hidden}`;
    };
    const filter = () => {
      number = PAGE;
      const fits = (chosen, value) => chosen === "" || Number(chosen) === value;
      matching = [...gallery.keys()].filter((position) => {
        const row = gallery[position];
        return fits(truth.value, row[TRUTH]) && fits(prediction.value, row[PREDICTION])
          && row[CONFIDENCE] >= confidence.value / 100;
      });
      byId("confidence-shown").textContent = `${confidence.value} %`;
      for (const cell of document.querySelectorAll("button[data-truth]")) {
        const pressed = cell.dataset.truth === truth.value && cell.dataset.prediction === prediction.value;
        cell.setAttribute("aria-pressed", pressed);
      }
      render();
    };
    const choose = (row, column) => {
      [truth.value, prediction.value, confidence.value] = [row, column, 0];
      filter();
      byId("gallery").scrollIntoView();
    };

    for (const input of [truth, prediction, confidence]) input.addEventListener("input", filter);
    saliency.addEventListener("change", render);
    byId("filter-clear").addEventListener("click", () => {
      [truth.value, prediction.value, confidence.value] = ["", "", 0];
      filter();
    });
    more.addEventListener("click", () => {
      number += PAGE;
      append(number - PAGE);
    });
    for (const cell of document.querySelectorAll("button[data-truth]")) {
      cell.addEventListener("click", () => choose(cell.dataset.truth, cell.dataset.prediction));
    }
    const map = byId("confusion-map");
    if (map !== null) {
      map.addEventListener("click", (event) => {
        const box = map.getBoundingClientRect();
        const place = (at, side) => Math.min(classes.length - 1, Math.floor((at / side) * classes.length));
        choose(place(event.clientY - box.top, box.height), place(event.clientX - box.left, box.width));
      });
    }
    filter();
  }

  function confusionMap() {
    const map = byId("confusion-map");
    if (map === null) return;
    const side = map.width / values.classes.length;
    const pen = map.getContext("2d");
    values.confusion.forEach((row, truth) => {
      const total = row.reduce((sum, [, count]) => sum + count, 0);
      row.forEach(([prediction, count]) => {
        pen.globalAlpha = 0.15 + 0.85 * Math.sqrt(count / total);
        pen.fillStyle = truth === prediction ? "#0072b2" : "#d55e00";
        pen.fillRect(prediction * side, truth * side, side, side);
      });
    });
  }

  function printing() {
    let opened = [];
    window.addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("details:not([open])")];
      for (const details of opened) details.open = true;
    });
    window.addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
    });
  }

  charts();
  scrolling();
  sorting();
  printing();
  confusionMap();
  if (values?.images) showGallery();
})();
