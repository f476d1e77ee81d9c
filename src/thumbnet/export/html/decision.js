"use strict";
// A model of two classes with a threshold: the class that its margin gives is answered, whichever is likelier. Only pages
// of such models have this script; page.py has the other scripts read `probabilities.answer`.
(() => {
  const { positive, margin } = JSON.parse(document.getElementById("model").textContent).decision;
  const load = ThumbnetEngine.load;
  ThumbnetEngine.load = async (...given) => {
    const engine = await load(...given);
    const run = engine.run.bind(engine);
    engine.run = (pixels) => {
      const found = run(pixels);
      found.probabilities.answer = found.logits[positive] - found.logits[1 - positive] >= margin ? positive : 1 - positive;
      return found;
    };
    return engine;
  };
})();
