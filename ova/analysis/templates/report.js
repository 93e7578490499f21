"use strict";
// Moves the threshold of a head: by the slider, by its keys, or by pointing at a curve. What is shown comes from
// counts that stand in the page; nothing is computed but their quotients.

const share = (part, whole) => (whole > 0 ? part / whole : null);
const number = (value) => (value === null ? "undefined" : value.toFixed(3));

function countsAt(data, index) {
  const tp = data.tp[index];
  const fp = data.fp[index];
  const fn = data.positives - tp;
  const tn = data.negatives - fp;
  const threshold = data.thresholds[index];
  return {
    threshold, tp, fp, fn, tn,
    probability: 1 / (1 + Math.exp(-data.log_odds[index])),
    precision: share(tp, tp + fp),
    recall: share(tp, tp + fn),
    flagged: share(fp, fp + tn),
    f1: tp + fn > 0 ? (2 * tp) / (2 * tp + fp + fn) : null,
  };
}

// Where the threshold is in each plot; null where it has no place, undefined where any height will do.
const PLACES = {
  "precision-recall": (at) => [at.recall, at.precision],
  roc: (at) => [at.flagged, at.recall],
  thresholds: (at) => [at.threshold, at.f1],
  scores: (at) => [at.threshold, undefined],
  reliability: (at) => [at.probability, undefined],
};

function makePlot(figure) {
  const frame = figure.querySelector(".frame");
  const [left, right] = figure.dataset.x.split(" ").map(Number);
  const [lower, upper] = figure.dataset.y.split(" ").map(Number);
  const place = PLACES[figure.dataset.plot];
  return {
    frame,
    /** Return the place in shares of the frame, from the left and from the top. */
    of(at) {
      const [x, y] = place(at);
      const across = x === null ? null : (x - left) / (right - left);
      const down = y === null || y === undefined ? y : (upper - y) / (upper - lower);
      return [across, down];
    },
    show(at) {
      const [across, down] = this.of(at);
      const outside = across === null || across < -0.001 || across > 1.001;
      const rule = frame.querySelector(".rule");
      const dot = frame.querySelector(".dot");
      rule.hidden = outside || figure.dataset.rule === undefined;
      dot.hidden = outside || down === null || down === undefined;
      if (!rule.hidden) rule.style.left = `${100 * across}%`;
      if (!dot.hidden) {
        dot.style.left = `${100 * across}%`;
        dot.style.top = `${100 * down}%`;
      }
    },
    /** Return the index of the step that is nearest to a pointer; by its threshold alone where a rule shows it. */
    nearest(event, steps) {
      const box = frame.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width;
      const y = (event.clientY - box.top) / box.height;
      let best = null;
      let least = Infinity;
      steps.forEach((at, index) => {
        const [across, down] = this.of(at);
        if (across === null || down === null) return;
        const height = figure.dataset.rule === undefined ? ((down - y) * box.height) / box.width : 0;
        const distance = Math.hypot(across - x, height);
        if (distance < least) [best, least] = [index, distance];
      });
      return best;
    },
  };
}

function explore(root) {
  const data = JSON.parse(root.dataset.steps);
  const steps = data.thresholds.map((_, index) => countsAt(data, index));
  const plots = [...root.querySelectorAll(".plot")].map(makePlot);
  const slider = root.querySelector("input[type=range]");
  const fields = [...root.querySelectorAll("[data-field]")];
  slider.max = String(steps.length - 1);

  const show = (index) => {
    const at = steps[index];
    slider.value = String(index);
    const whole = new Set(["tp", "fp", "fn", "tn"]);
    for (const field of fields) {
      const name = field.dataset.field;
      field.textContent = whole.has(name) ? at[name].toLocaleString("en") : number(at[name]);
    }
    slider.setAttribute(
      "aria-valuetext",
      `threshold ${number(at.threshold)}, precision ${number(at.precision)}, recall ${number(at.recall)}, F1 ${number(at.f1)}`,
    );
    root.classList.toggle("moved", index !== data.chosen);
    for (const plot of plots) plot.show(at);
  };

  slider.addEventListener("input", () => show(Number(slider.value)));
  root.querySelector("button").addEventListener("click", () => show(data.chosen));
  for (const plot of plots) {
    const follow = (event) => {
      const index = plot.nearest(event, steps);
      if (index !== null) show(index);
    };
    plot.frame.addEventListener("pointermove", follow);
    plot.frame.addEventListener("pointerdown", follow);
  }
  addEventListener("beforeprint", () => show(data.chosen));
  for (const control of root.querySelectorAll(".control")) control.hidden = false;
  show(data.chosen);
}

document.querySelectorAll(".explorer").forEach(explore);
