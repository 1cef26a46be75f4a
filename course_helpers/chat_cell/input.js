// The box at the foot of the chat cell: Enter sends, Shift+Enter makes a new line, Send becomes Stop.
//
// The text travels with the event, so however fast someone types, what is sent is what stood in the box.
// From the kernel come `busy`, `status` and `session`, and the message {draft}, a text to edit.
// To the kernel go {send, id} and {stop: id}.

const PATIENCE = 5000; // milliseconds after which an unanswered message is put back

const AGAIN = "run the setup cell and this chat's cell again.";
const GONE = `The kernel was restarted or shut down. For a new chat, ${AGAIN}`;

function make(parent, tag, properties) {
  const node = Object.assign(document.createElement(tag), properties);
  parent.append(node);
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
  const keep = (event) => {
    if (!saves(event)) event.stopPropagation();
  };
  window.addEventListener("keydown", decide, true);
  root.addEventListener("keydown", keep);
  return () => {
    window.removeEventListener("keydown", decide, true);
    root.removeEventListener("keydown", keep);
  };
}

// The whole chat around this box, once it is on the page: its keys, and a name for its transcript.
function adopt(el) {
  let release = keepKeys(el);
  let tries = 50;
  const look = () => {
    const chat = el.closest(".course-chat");
    const talk = chat && chat.querySelector(".course-chat-scroll");
    if (talk) {
      release();
      release = keepKeys(chat);
      talk.tabIndex = 0;
      talk.setAttribute("role", "group");
      talk.setAttribute("aria-label", "Conversation");
    } else if (tries-- > 0) timer = setTimeout(look, 100);
  };
  let timer = setTimeout(look, 0);
  return () => {
    clearTimeout(timer);
    release();
  };
}

function render({ model, el }) {
  const name = `course-chat-${Math.random().toString(36).slice(2)}`;
  el.classList.add("course-chat-input");
  const abandon = adopt(el);
  make(el, "label", { htmlFor: name, textContent: "Your message" });
  const row = make(el, "div", { className: "course-chat-row" });
  const box = make(row, "textarea", { id: name, rows: 1, dir: "auto" });
  box.placeholder = "Enter sends, Shift+Enter makes a new line";
  const button = make(row, "button", { type: "button" });
  const status = make(el, "div", { className: "course-chat-status" });
  status.setAttribute("role", "status");
  const session = make(el, "div", { className: "course-chat-session" });

  let pending = null; // {id, text, timer}: sent, and the kernel has not answered yet
  let current = null; // the id of the last message from this view
  let stopping = false;

  // The class, which only stock widgets get, is the sign of a kernel that was restarted or shut down.
  const dead = () => el.closest(".course-chat")?.querySelector(".jupyter-widgets-disconnected") != null;
  const busy = () => !dead() && (pending !== null || model.get("busy"));

  function show() {
    button.textContent = !busy() ? "Send" : stopping ? "Stopping…" : "Stop";
    button.classList.toggle("course-chat-stop", busy());
    button.disabled = dead() || (busy() && stopping);
    session.textContent = model.get("session");
    const words = dead() ? GONE : model.get("status");
    if (status.textContent !== words) status.textContent = words;
  }

  function grow() {
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + 2}px`;
  }

  function put(text) {
    box.value = text;
    grow();
  }

  function answered() {
    if (pending) clearTimeout(pending.timer);
    pending = null;
  }

  function unanswered() {
    if (box.value === "") put(pending.text);
    answered();
    stopping = false;
    show();
    status.textContent = `The kernel does not answer. If a cell is running, wait for it; if not, ${AGAIN}`;
  }

  function send() {
    const text = box.value;
    if (busy() || dead() || text.trim() === "") return;
    current = `${Date.now()}-${Math.random()}`;
    pending = { text, timer: setTimeout(unanswered, PATIENCE) };
    put("");
    model.send({ send: text, id: current });
    show();
  }

  function stop() {
    if (!busy() || stopping) return;
    stopping = true;
    model.send({ stop: current });
    show();
  }

  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape" && busy()) {
      event.preventDefault();
      stop();
    }
  });
  box.addEventListener("input", grow);
  button.addEventListener("click", (event) => {
    // The second half of a double click on Send must not stop what the first half sent.
    if (!busy()) send();
    else if (event.detail < 2) stop();
    box.focus();
  });

  const changed = () => {
    answered();
    stopping = stopping && model.get("busy");
    show();
  };
  const told = (message) => {
    answered();
    if ("draft" in message && box.value === "") put(message.draft);
    show();
  };
  const reconnected = () => setTimeout(show, 200); // when its neighbours know too
  model.on("comm_live_update", reconnected);
  model.on("change:busy", changed);
  model.on("change:status", show);
  model.on("change:session", show);
  model.on("msg:custom", told);
  show();
  return () => {
    abandon();
    if (pending) clearTimeout(pending.timer);
    model.off("comm_live_update", reconnected);
    model.off("change:busy", changed);
    model.off("change:status", show);
    model.off("change:session", show);
    model.off("msg:custom", told);
  };
}

export default { render };
