// The chat as a page shows it: controls, transcript, and the box in which Enter sends and Send becomes Stop.
//
// The text travels with the event, so however fast someone types, what is sent is what stood in the box.
// From the kernel come the traits of cell.py and messages, one for each thing that happened (see `told`).
// To it go messages {do: name, view, …}: what stands behind `_on_` in cell.py. All HTML was made by render.py.

const PATIENCE = 5000; // milliseconds after which an unanswered message is put back
const PAUSE = 250; // milliseconds without a key after which the cost of a text is asked for

const AGAIN = "run the setup cell and this chat's cell again.";
const GONE = `The kernel was restarted or shut down. For a new chat, ${AGAIN}`;

function make(parent, tag, className = "", attributes = {}, text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  parent.append(node);
  return node;
}

function button(parent, text, act, className = "course-chat-button", attributes = {}) {
  const node = make(parent, "button", className, { type: "button", ...attributes }, text);
  node.addEventListener("click", act);
  return node;
}

// Typing in `root` must not reach JupyterLab, where "a" and "b" insert cells and "d d" deletes one: it needs
// both the attribute, decided before anyone else sees the key, and the stopped event. Only saving goes through.
function keepKeys(root) {
  const saves = (event) => (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
  const decide = (event) => {
    if (!root.contains(event.target)) return;
    if (saves(event)) root.removeAttribute("data-lm-suppress-shortcuts");
    else root.setAttribute("data-lm-suppress-shortcuts", "true");
  };
  window.addEventListener("keydown", decide, true);
  root.addEventListener("keydown", (event) => {
    if (!saves(event)) event.stopPropagation();
  });
  return () => window.removeEventListener("keydown", decide, true);
}

// Enter that confirms Japanese, Chinese or Korean input is not meant for us; Safari tells by 229 alone.
const sends = (event) =>
  event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;

function grow(box) {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const box = make(document.body, "textarea"); // a page that is not secure has no clipboard
  box.value = text;
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  if (!done) throw new Error("refused");
}

function download(name, text) {
  const link = make(document.body, "a", "", { href: URL.createObjectURL(new Blob([text])), download: name });
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The sentence that stands in for the chat, in front ends whose outputs JupyterLab's style does not know.
function hideStandIn(el, tries = 50) {
  if (!el.isConnected) {
    if (tries > 0) setTimeout(() => hideStandIn(el, tries - 1), 100);
    return;
  }
  const before = [...document.querySelectorAll(".course-chat-closed")].filter(
    (note) => note.compareDocumentPosition(el) & Node.DOCUMENT_POSITION_FOLLOWING,
  );
  if (before.length) before.at(-1).hidden = true;
}

function render({ model, el }) {
  const view = Math.random().toString(36).slice(2);
  const named = (name) => `course-chat-${view}-${name}`;
  const tell = (name, rest = {}) => model.send({ do: name, view, ...rest });

  // -- controls above the transcript

  const top = make(el, "div", "course-chat-top");
  make(top, "label", "", { for: named("model") }, "Model");
  const choice = make(top, "select", "", { id: named("model") });
  choice.addEventListener("change", () => tell("set", { name: "model", text: choice.value }));
  const toggle = button(top, "System prompt", () => unfold(prompt.hidden));
  toggle.title = "Show or hide who the model is told to be";
  toggle.setAttribute("aria-controls", named("prompt"));
  const retry = button(top, "Retry", () => tell("retry"));
  retry.title = "Ask the last question again, in place of its reply";
  const undo = button(top, "Undo", () => tell("undo"));
  undo.title = "Take back the last question and its reply; what it cost stays counted";
  const clear = button(top, "Clear", () => tell("clear"));
  clear.title = "Forget the conversation; what it cost stays counted";
  const prompt = make(el, "div", "course-chat-system", { id: named("prompt") });
  make(prompt, "label", "", { for: named("system") }, "System prompt");
  const system = make(prompt, "textarea", "", { id: named("system"), rows: 3, dir: "auto" });
  system.placeholder = "Who the model is and how it should answer. Empty: no system prompt.";
  system.addEventListener("change", () => tell("set", { name: "system", text: system.value }));

  function unfold(open) {
    prompt.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
  }

  function settings() {
    choice.replaceChildren(...model.get("models").map(([label, id]) => new Option(label, id)));
    choice.value = model.get("model");
    if (document.activeElement !== system) system.value = model.get("system");
  }

  // -- transcript: growing upwards, it stays at its end; when the reader scrolls up, `change` holds its place

  const scroll = make(el, "div", "course-chat-scroll", { tabindex: 0, role: "group", "aria-label": "Conversation" });
  const talk = make(scroll, "div", "course-chat-talk");
  const nothing = make(talk, "div", "course-chat-nothing");
  make(nothing, "div", "course-chat-who", {}, "Nothing said yet.");
  for (const text of model.get("starters")) button(nothing, text, () => send(text), "course-chat-button course-chat-starter");
  const exchanges = new Map();

  function exchange(id) {
    if (!exchanges.has(id)) {
      const root = make(talk, "div", "course-chat-exchange");
      const head = make(root, "div", "course-chat-head");
      const tail = make(root, "div", "course-chat-reply");
      const foot = make(root, "div", "course-chat-foot");
      const does = make(root, "div", "course-chat-does");
      exchanges.set(id, { id, root, head, tail, foot, does });
    }
    return exchanges.get(id);
  }

  function take(it, what, why) {
    tell("take", { id: it.id, what, why });
  }

  function change(message) {
    const above = scroll.scrollTop < -2;
    const height = above ? scroll.scrollHeight : 0;
    draw(message);
    if (above) scroll.scrollTop -= scroll.scrollHeight - height;
  }

  function draw(message) {
    const it = exchange(message.id);
    if ("head" in message) {
      it.head.innerHTML = message.head;
      const does = make(it.head.firstChild, "div", "course-chat-does");
      button(does, "copy", () => take(it, "question", "copy"), "course-chat-do", { "aria-label": "Copy the question" });
      it.edit = button(does, "edit", () => take(it, "question", "edit"), "course-chat-do", {
        "aria-label": "Edit the question and ask again",
        title: "Ask again, changed, in place of this question and what came after it; what that cost stays counted",
      });
    }
    if ("done" in message) {
      it.tail.innerHTML = message.done;
      it.tail = make(it.root, "div", "course-chat-reply");
      it.foot.before(it.tail);
    }
    if ("tail" in message) it.tail.innerHTML = message.tail;
    if ("more" in message) append(it.tail, message.more);
    if ("foot" in message) it.foot.innerHTML = message.foot;
    if ("body" in message) {
      for (const part of it.root.querySelectorAll(".course-chat-reply")) if (part !== it.tail) part.remove();
      it.tail.innerHTML = message.body;
      for (const code of it.tail.querySelectorAll("pre")) {
        const copied = () => copy(code.textContent);
        code.before(make(it.tail, "div", "course-chat-code"));
        button(code.previousSibling, "", copied, "course-chat-do course-chat-copy", { "aria-label": "Copy this code" });
        code.previousSibling.append(code);
      }
      it.does.replaceChildren();
      if (message.body) {
        button(it.does, "copy", () => take(it, "text", "copy"), "course-chat-do", { "aria-label": "Copy the reply" });
      }
      if (message.sent) {
        it.request = button(it.does, "request", () => showRequest(it), "course-chat-do", {
          "aria-label": "What was sent for this reply",
          "aria-expanded": "false",
        });
      }
    }
  }

  // Words behind the last ones, in whatever block is the last: they are drawn as Markdown a moment later.
  function append(node, words) {
    while (node.lastElementChild && !/^(EM|STRONG|A|S|CODE|BR|HR|SPAN)$/.test(node.lastElementChild.tagName)) {
      node = node.lastElementChild;
    }
    if (node.tagName === "PRE") node = node.firstElementChild;
    node.append(words);
  }

  function keep(ids) {
    for (const [id, it] of exchanges) {
      if (!ids.includes(id)) {
        it.root.remove();
        exchanges.delete(id);
      }
    }
  }

  function edit(it, text) {
    const words = it.head.querySelector(".course-chat-words");
    if (it.editor) return;
    it.editor = make(it.head.firstChild, "div", "course-chat-editor");
    words.hidden = true;
    const box = make(it.editor, "textarea", "", { "aria-label": "Edit the question", dir: "auto" });
    const leave = () => {
      it.editor.remove();
      it.editor = null;
      words.hidden = false;
      it.edit.focus();
    };
    const again = () => {
      if (busy() || dead() || box.value.trim() === "") return;
      deliver(box.value, { edited: it.id });
      input.focus();
    };
    box.value = text;
    box.addEventListener("input", () => grow(box));
    box.addEventListener("keydown", (event) => {
      if (sends(event)) event.preventDefault(), again();
      else if (event.key === "Escape") event.preventDefault(), leave();
    });
    button(it.editor, "Ask again", again);
    button(it.editor, "Cancel", leave);
    grow(box);
    box.focus();
  }

  function showRequest(it) {
    const open = it.panel == null;
    it.request.setAttribute("aria-expanded", String(open));
    if (open) return take(it, "request", "show");
    it.panel.remove();
    it.panel = null;
  }

  function requestIn(it, languages) {
    it.panel?.remove();
    it.panel = make(it.root, "div", "course-chat-request", { role: "group", "aria-label": "What was sent for this reply" });
    const tabs = make(it.panel, "div");
    const code = make(it.panel, "pre", "", { tabindex: 0 });
    const choose = (name) => {
      code.textContent = languages[name];
      for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.textContent === name));
    };
    for (const name of Object.keys(languages)) button(tabs, name, () => choose(name));
    choose(Object.keys(languages)[0]);
    button(it.panel, "Copy", () => copy(code.textContent));
  }

  async function copy(text) {
    try {
      await toClipboard(text);
      status.textContent = "Copied.";
    } catch {
      status.textContent = "This page may not copy: select the text and copy it yourself.";
    }
  }

  // -- the box at the foot

  make(el, "label", "", { for: named("box") }, "Your message");
  const row = make(el, "div", "course-chat-row");
  const input = make(row, "textarea", "", { id: named("box"), rows: 1, dir: "auto" });
  input.placeholder = "Enter sends, Shift+Enter makes a new line";
  const main = button(row, "", (event) => {
    // The second half of a double click on Send must not stop what the first half sent.
    if (!busy()) send(input.value);
    else if (event.detail < 2) stop();
    input.focus();
  }, "");
  const before = make(el, "div", "course-chat-forecast");
  const line = make(before, "span");
  const bar = make(make(before, "div", "course-chat-bar", { "aria-hidden": "true" }), "div");
  const status = make(el, "div", "course-chat-status", { role: "status" });
  const last = make(el, "div", "course-chat-last");
  const session = make(last, "span", "course-chat-session");
  const exported = (kind, file) => () => tell("export", { kind, file });
  button(last, "Save as Markdown", exported("markdown", "chat.md"), "course-chat-do");
  button(last, "Save as JSON", exported("json", "chat.json"), "course-chat-do").title = "A file that Conversation.load and course-chat --load read";

  let pending = null; // {text, timer}: sent, and the kernel has not answered yet
  let stopping = false;

  // A kernel that was restarted or shut down marks its widgets so.
  const dead = () => el.closest(".jupyter-widgets-disconnected") != null;
  const busy = () => !dead() && (pending !== null || model.get("busy"));

  function show() {
    main.textContent = !busy() ? "Send" : stopping ? "Stopping…" : "Stop";
    main.classList.toggle("course-chat-stop", busy());
    main.disabled = dead() || (busy() && stopping);
    const idle = !busy() && exchanges.size > 0;
    retry.disabled = undo.disabled = !idle;
    clear.disabled = exchanges.size === 0;
    nothing.hidden = exchanges.size > 0;
    for (const it of exchanges.values()) if (it.edit) it.edit.disabled = busy();
    session.textContent = model.get("session");
    const words = dead() ? GONE : model.get("status");
    if (status.textContent !== words) status.textContent = words;
  }

  function put(text) {
    input.value = text;
    grow(input);
    look();
  }

  function answered() {
    if (pending) clearTimeout(pending.timer);
    pending = null;
  }

  function unanswered() {
    if (input.value === "") put(pending.text);
    answered();
    stopping = false;
    show();
    status.textContent = `The kernel does not answer. If a cell is running, wait for it; if not, ${AGAIN}`;
  }

  function deliver(text, rest = {}) {
    stopping = false;
    pending = { text, timer: setTimeout(unanswered, PATIENCE) };
    tell("send", { text, ...rest });
    show();
  }

  function send(text) {
    if (busy() || dead() || text.trim() === "") return;
    if (text === input.value) put("");
    deliver(text);
  }

  function stop() {
    if (!busy() || stopping) return;
    stopping = true;
    tell("stop");
    show();
  }

  el.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && busy() && !event.defaultPrevented) event.preventDefault(), stop();
  });
  input.addEventListener("keydown", (event) => {
    if (sends(event)) event.preventDefault(), send(input.value);
  });
  input.addEventListener("input", () => {
    grow(input);
    clearTimeout(pause);
    pause = setTimeout(look, PAUSE);
  });

  // -- before it is sent: what the text in the box would cost; one question at a time, the newest last

  let pause = null;
  let asked = null; // the timer after which an answer is waited for no more
  let anew = false;

  function look() {
    if (input.value.trim() === "" || busy() || dead()) return forecast("", null);
    anew = asked !== null;
    if (anew) return;
    asked = setTimeout(looked, PATIENCE);
    tell("preview", { text: input.value });
  }

  function looked() {
    clearTimeout(asked);
    asked = null;
    if (anew) look();
  }

  function forecast(words, share) {
    line.textContent = words;
    bar.parentNode.hidden = share == null;
    bar.style.width = `${Math.min(100, 100 * (share ?? 0))}%`;
  }

  // -- what the kernel tells

  function told(message) {
    if ("view" in message && message.view !== view) return;
    if ("all" in message) {
      keep([]);
      message.all.forEach(change);
    } else if ("keep" in message) keep(message.keep);
    else if ("forecast" in message) {
      if (input.value.trim() !== "") forecast(message.forecast, message.share);
      return looked();
    } else if ("file" in message) download(message.file, message.text);
    else if ("taken" in message) {
      const it = exchange(message.id);
      if (message.why === "copy") return copy(message.taken);
      if (message.why === "edit") edit(it, message.taken);
      else requestIn(it, message.taken);
    } else if ("draft" in message) {
      answered();
      if (input.value === "") put(message.draft);
    } else return change(message);
    show();
  }

  const changed = () => {
    answered();
    stopping = stopping && model.get("busy");
    if (stopping) tell("stop"); // the first one came before what it was to stop
    show();
    look();
  };
  const reconnected = () => setTimeout(show, 200); // when its neighbours know too
  const events = {
    comm_live_update: reconnected,
    "change:busy": changed,
    "change:status": show,
    "change:session": show,
    "change:models": settings,
    "change:model": settings,
    "change:system": settings,
    "msg:custom": told,
  };
  for (const [name, act] of Object.entries(events)) model.on(name, act);
  const release = keepKeys(el);
  unfold(false);
  settings();
  forecast("", null);
  show();
  hideStandIn(el);
  tell("hello");
  return () => {
    release();
    if (pending) clearTimeout(pending.timer);
    for (const [name, act] of Object.entries(events)) model.off(name, act);
  };
}

export default { render };
