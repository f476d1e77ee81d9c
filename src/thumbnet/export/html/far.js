"use strict";
// A model whose answer is "unknown" where a picture is far from everything that it was trained on: where its features are
// further than a limit from the mean of every class, in deviations within the classes. Only pages of such models have this
// script; scripts.py has the engine give the features, and the page's scripts read `probabilities.isUnknown`.
(() => {
  const { means, deviations, limit } = JSON.parse(document.getElementById("model").textContent).unknown;
  const load = ThumbnetEngine.load;
  ThumbnetEngine.load = async (...given) => {
    const engine = await load(...given);
    const run = engine.run.bind(engine);
    engine.run = (pixels) => {
      const found = run(pixels);
      const squares = means.map((mean) =>
        mean.reduce((sum, value, index) => sum + ((found.features[index] - value) / deviations[index]) ** 2, 0));
      found.distance = Math.sqrt(Math.min(...squares));
      found.probabilities.isUnknown = found.distance > limit;
      return found;
    };
    return engine;
  };
})();
