// Keeps the page as the server draws it: each event bears the parts that changed, as markup. Elements
// are changed where they stand, so that focus, selection and what is unfolded stay as they are.
"use strict";

const AGAIN_MS = 5000;
const STALE_MS = 4000;
const live = document.getElementById("live");
let heardAt = 0;

function parsed(markup) {
  return new DOMParser().parseFromString(`<body>${markup}</body>`, "text/html").body;
}

function likeness(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.nodeName : node.nodeType;
}

function attributes(now, wanted) {
  if (now.matches("code.command")) return; // they have some from `copyable`
  for (const { name } of [...now.attributes]) {
    const unfolded = name === "open" && now.nodeName === "DETAILS";
    if (!wanted.hasAttribute(name) && !unfolded) now.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

// A node goes on in the next one of its kind; what stands between is gone, what has none is new.
function children(now, wanted) {
  let at = now.firstChild;
  for (const node of [...wanted.childNodes]) {
    let old = at;
    while (old !== null && likeness(old) !== likeness(node)) old = old.nextSibling;
    if (old === null) {
      now.insertBefore(node, at);
      continue;
    }
    while (at !== old) at = removed(at);
    at = old.nextSibling;
    if (old.nodeType === Node.ELEMENT_NODE) {
      attributes(old, node);
      if (old.innerHTML !== node.innerHTML) children(old, node);
    } else if (old.data !== node.data) old.data = node.data;
  }
  while (at !== null) at = removed(at);
}

function copyable() {
  for (const code of document.querySelectorAll("code.command")) {
    if (code.title !== "") continue;
    code.title = "Click to copy";
    code.tabIndex = 0;
    code.setAttribute("role", "button");
  }
}

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code); // no secure context: it is selected, ready for the keys
    return;
  }
  code.classList.add("copied-now");
  setTimeout(() => code.classList.remove("copied-now"), 1200);
}

function show(parts) {
  for (const [id, markup] of Object.entries(parts)) {
    const part = document.getElementById(id);
    if (id === "title") document.title = markup;
    else if (part !== null) children(part, parsed(markup));
  }
  copyable();
}

function tell() {
  const now = Date.now() - heardAt < STALE_MS;
  live.hidden = false;
  live.textContent = now ? "live" : "not live";
  live.classList.toggle("stale", !now);
}

function listen() {
  const events = new EventSource("/events");
  events.onmessage = (event) => {
    heardAt = Date.now();
    show(JSON.parse(event.data));
    tell();
  };
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS);
  };
}

document.addEventListener("click", (event) => {
  const code = event.target.closest("code.command");
  if (code !== null) copy(code);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  if (!event.target.matches("code.command")) return;
  event.preventDefault();
  copy(event.target);
});
setInterval(tell, 1000);
copyable();
listen();
