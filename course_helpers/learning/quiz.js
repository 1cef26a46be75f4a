// A quiz: each question a named group of radio buttons, among which the browser itself moves with the arrow keys.
//
// From the kernel come `title`, `questions` (pairs of HTML and choices), `summary`, and the message
// {feedback, summary}. To the kernel goes {check: [the choice or "", one for each question]}.

const PATIENCE = 5000; // milliseconds after which a check without an answer is given up
const GONE = "No answer: run the setup cell and this cell again.";

function make(parent, tag, properties) {
  const node = Object.assign(document.createElement(tag), properties);
  parent.append(node);
  return node;
}

function render({ model, el }) {
  const name = `course-quiz-${Math.random().toString(36).slice(2)}`;
  // Else arrows, Space and Enter are JupyterLab's, which moves to another cell. Both are needed.
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  el.addEventListener("keydown", (event) => event.stopPropagation());
  make(el, "strong", { textContent: model.get("title") });

  const rows = model.get("questions").map(([html, choices], number) => {
    const group = make(el, "div", { className: "course-quiz-group" });
    const question = make(group, "p", { id: `${name}-${number}`, className: "course-quiz-question" });
    question.innerHTML = `<strong>${number + 1}.</strong> ${html}`;
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-labelledby", question.id);
    const radios = choices.map((text) => {
      const label = make(group, "label", {});
      const radio = make(label, "input", { type: "radio", name: `${name}-${number}`, value: text });
      make(label, "span", { textContent: text });
      return radio;
    });
    const feedback = make(el, "div", { className: "course-quiz-feedback" });
    feedback.setAttribute("role", "status");
    group.addEventListener("change", () => feedback.replaceChildren());
    return { radios, feedback };
  });

  const foot = make(el, "div", { className: "course-quiz-foot" });
  const button = make(foot, "button", { type: "button", textContent: "Check my answers" });
  const summary = make(foot, "span", { textContent: model.get("summary") });
  summary.setAttribute("role", "status");

  let timer = null;
  button.addEventListener("click", () => {
    const chosen = rows.map(({ radios }) => radios.find((radio) => radio.checked)?.value ?? "");
    clearTimeout(timer);
    timer = setTimeout(() => (summary.textContent = GONE), PATIENCE);
    model.send({ check: chosen });
  });
  const answered = (message) => {
    clearTimeout(timer);
    message.feedback.forEach((html, number) => (rows[number].feedback.innerHTML = html));
    summary.textContent = message.summary;
  };
  model.on("msg:custom", answered);
  return () => {
    clearTimeout(timer);
    model.off("msg:custom", answered);
  };
}

export default { render };
