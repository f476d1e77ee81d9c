// What the network answered, as cards: the picture as it sees it, the classes with bars, where it looked.
const ThumbnetResults = ((document) => {
  const MOST_CLASSES = 5;
  const MOST_CARDS = 100;
  const PRESS_MS = 300; // after a finger was lifted, within which its click comes
  const DIMMED = 0.8; // how dark the least salient pixels become, as in the report

  const percent = (share) => {
    if (share > 0.9995 && share < 1) return "over 99.9\u00a0%";
    if (share < 0.0005 && share > 0) return "under 0.1\u00a0%";
    return `${(100 * share).toFixed(1)}\u00a0%`;
  };
  const milliseconds = (duration) => (duration < 0.1 ? "under 0.1\u00a0ms" : `${duration.toFixed(1)}\u00a0ms`);

  function element(tag, { text, ...attributes } = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    made.append(...children);
    return made;
  }

  function order(probabilities) {
    return [...probabilities.keys()].sort((one, other) => probabilities[other] - probabilities[one] || one - other);
  }

  /** Draw pixels [C,H,W], dimmed where `map` is low; map null: as they are. */
  function draw(canvas, { pixels, channels, height, width }, map) {
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height);
    const size = height * width;
    for (let at = 0; at < size; at++) {
      const light = map ? 1 - DIMMED * (1 - map[at]) : 1;
      for (let band = 0; band < 3; band++) image.data[4 * at + band] = light * pixels[(channels === 3 ? band * size : 0) + at];
      image.data[4 * at + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  /** A card of one answer; `show(index)` explains another class of it, `show()` draws anew. */
  function card(model, answer, isShowingSaliency, wanted = null) {
    const top = order(answer.probabilities).slice(0, MOST_CLASSES);
    const canvas = element("canvas", { role: "img" });
    let explained = top.includes(wanted) ? wanted : top[0];
    const buttons = top.map((index) => {
      const bar = element("span");
      bar.style.width = `${100 * answer.probabilities[index]}%`;
      const button = element(
        "button",
        { type: "button", "data-index": index, title: "Show where it looked for this class" },
        element("bdi", { text: model.classes[index] }),
        element("span", { text: percent(answer.probabilities[index]) }),
        element("span", { class: "track", "aria-hidden": "true" }, bar),
      );
      button.addEventListener("click", () => {
        explained = index;
        made.wanted = index;
        show();
      });
      return button;
    });
    const show = () => {
      const isShown = isShowingSaliency();
      draw(canvas, { ...model, pixels: answer.pixels }, isShown ? answer.map(explained) : null);
      const place = isShown ? `, bright where it looked for ${model.classes[explained]}` : "";
      canvas.setAttribute("aria-label", `The picture as the network sees it${place}`);
      for (const button of buttons) button.setAttribute("aria-pressed", String(isShown && +button.dataset.index === explained));
    };
    const name = model.classes[top[0]];
    const probability = answer.probabilities[top[0]];
    const heading = element("h3", {}, element("bdi", { text: name, "data-class": name }), " ");
    heading.append(element("span", { text: percent(probability) }));
    const from = element("p", { class: "from" }, element("bdi", { text: answer.name }));
    if (answer.truth !== undefined) {
      const verdict = answer.truth === top[0] ? { text: "right" } : { text: "wrong", class: "wrong" };
      from.append(", labelled ", element("bdi", { text: model.classes[answer.truth] }), ": ", element("span", verdict));
    }
    const times = `network ${milliseconds(answer.runMs)}, reading ${milliseconds(answer.readMs)}`;
    const article = element(
      "article",
      { class: "result", "data-probability": probability, "data-file": answer.name, "data-ms": answer.runMs },
      canvas,
      heading,
      from,
      element("ol", { class: "bars" }, ...buttons.map((button) => element("li", {}, button))),
      element("p", { class: "figures", text: times }),
    );
    const made = { element: article, show, name, wanted, sentence: `${answer.name}: ${name}, ${percent(probability)}` };
    show();
    return made;
  }

  /** The list of cards, newest first. */
  function create(model, { list, toggle, empty, clear }) {
    let cards = [];
    const isShowingSaliency = () => toggle.checked;
    const refresh = () => {
      empty.hidden = list.childElementCount > 0;
      clear.hidden = cards.length === 0;
    };
    toggle.addEventListener("change", () => cards.forEach((each) => each.show()));
    clear.addEventListener("click", () => {
      for (const each of cards) each.element.remove();
      cards = [];
      refresh();
      empty.scrollIntoView?.({ block: "nearest" });
    });
    let heldUntil = 0; // when a pointer or a key is down in the live card: the click would be lost with its button
    const hold = ({ type, target }) => {
      if (!type.endsWith("down")) heldUntil = Math.min(heldUntil, performance.now() + PRESS_MS);
      else if (target.closest?.(".live")) heldUntil = Infinity;
    };
    for (const type of ["pointerdown", "keydown", "pointerup", "pointercancel", "keyup", "blur"]) addEventListener(type, hold);
    return {
      add(answer) {
        const made = card(model, answer, isShowingSaliency);
        cards.unshift(made);
        for (const old of cards.splice(MOST_CARDS)) old.element.remove();
        list.prepend(made.element);
        refresh();
        return made;
      },
      /** The card that a camera's answers replace, above all others; null takes it away. */
      live(answer, before) {
        if (answer && before && performance.now() < heldUntil) return before;
        const made = answer && card(model, answer, isShowingSaliency, before?.wanted);
        made?.element.classList.add("live");
        const hadFocus = before?.element.contains(document.activeElement) && document.activeElement.dataset.index;
        before?.element.remove();
        if (made) list.prepend(made.element);
        if (made && hadFocus) (made.element.querySelector(`[data-index="${hadFocus}"]`) ?? toggle).focus();
        refresh();
        return made;
      },
    };
  }

  return { create };
})(document);
