"use strict";
// A model whose pictures may have several labels, or none: each label's probability is the sigmoid of its logit, and it is
// answered from a margin of its own on. Only pages of such models have this script; page.py has the other scripts read
// `probabilities.labels`, the indices of the labels that are answered, and `probabilities.named`, which names indices.
(() => {
  const { classes, labels } = JSON.parse(document.getElementById("model").textContent);
  const { margins } = labels;
  const named = (indices) => indices.map((index) => classes[index]).join("; ") || "no label";
  const load = ThumbnetEngine.load;
  ThumbnetEngine.load = async (...given) => {
    const engine = await load(...given);
    const run = engine.run.bind(engine);
    engine.run = (pixels) => {
      const found = run(pixels);
      found.probabilities = Float32Array.from(found.logits, (logit) => 1 / (1 + Math.exp(-logit)));
      found.probabilities.labels = [...margins.keys()].filter((index) => found.logits[index] >= margins[index]);
      found.probabilities.named = named;
      return found;
    };
    return engine;
  };
})();
