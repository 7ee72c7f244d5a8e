// What htmx cannot do for the playground: keep one's place, send with Enter, open cards and pictures.
"use strict";

const NEAR = 60; // pixels from the end that still count as being there

// ---- keeping one's place in a conversation

const places = new WeakMap(); // feed → {stuck, place, first, height, top}
const growing = new ResizeObserver((entries) => {
  for (const { target } of entries) stay(target.closest(".feed"));
});
const seeing = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      target.shown = isIntersecting;
      attend(target.closest(".phone"));
    }
  },
  { threshold: 0.1 },
);

function settle() {
  for (const feed of document.querySelectorAll(".feed")) {
    if (!places.has(feed)) {
      places.set(feed, { stuck: true, place: "" });
      growing.observe(feed.firstElementChild);
      growing.observe(feed);
      feed.addEventListener("scroll", () => looked(feed), { passive: true });
    }
    const known = places.get(feed);
    const first = feed.querySelector(".msg")?.id;
    if (known.place !== feed.dataset.place) {
      known.place = feed.dataset.place;
      arrive(feed);
    } else if (!known.stuck && known.first !== first && known.height) {
      feed.scrollTop = known.top + feed.scrollHeight - known.height;
    } else {
      stay(feed);
      welcome(feed, known.last);
    }
    known.first = first;
    known.last = feed.querySelector("li:last-child")?.id;
  }
  for (const field of document.querySelectorAll(".write textarea")) {
    field.value ||= drafts.get(field.id) ?? "";
    const file = field.form.elements.file?.files[0];
    if (file && field.form.querySelector("[data-attached]").hidden) attach(field.form, file);
  }
  for (const view of document.querySelectorAll(".view")) seeing.observe(view);
  for (const phone of document.querySelectorAll(".phone")) attend(phone);
}

function arrive(feed) {
  const known = places.get(feed);
  const line = feed.querySelector(".rule.new");
  known.stuck = true;
  feed.scrollTop = feed.scrollHeight;
  if (line && line.offsetTop - feed.offsetTop < feed.scrollTop) {
    feed.scrollTop = line.offsetTop - feed.offsetTop - 16;
  }
  known.height = feed.scrollHeight;
  looked(feed);
}

function stay(feed) {
  if (feed && places.get(feed)?.stuck) feed.scrollTop = feed.scrollHeight;
}

function welcome(feed, last) {
  const before = last && document.getElementById(last);
  if (!before || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (let one = before.nextElementSibling; one; one = one.nextElementSibling) {
    one.animate(
      [{ opacity: 0, transform: "translateY(6px)" }, {}],
      { duration: 180, easing: "ease-out" },
    );
  }
}

function end(feed) {
  if (!feed) return;
  places.get(feed).stuck = true;
  stay(feed);
}

function looked(feed) {
  const known = places.get(feed);
  // What grew by itself, such as by a picture that has come, has not been scrolled away from.
  if (known.stuck && feed.scrollHeight > known.height && feed.scrollTop >= known.top) stay(feed);
  known.top = feed.scrollTop;
  known.height = feed.scrollHeight;
  known.stuck = feed.scrollHeight - feed.scrollTop - feed.clientHeight < NEAR;
  const phone = feed.closest(".phone");
  phone.toggleAttribute("data-away", !known.stuck);
  attend(phone);
}

// ---- who has the end of their conversation before their eyes

const attentive = new Map(); // person → whether the server knows them to look

function attend(phone) {
  const view = phone.querySelector(".view");
  const feed = phone.querySelector(".feed");
  const at_end = !feed || places.get(feed)?.stuck;
  const looks = Boolean(view?.shown && at_end && document.visibilityState === "visible");
  if (attentive.get(phone.dataset.person) === looks) return;
  attentive.set(phone.dataset.person, looks);
  tell(phone, "watch", { attentive: looks ? "1" : "0" });
}

function tell(phone, doing, words) {
  const url = `/phone/${phone.dataset.person}/${doing}`;
  fetch(url, { method: "POST", body: new URLSearchParams(words) }).catch(() => {});
}

document.addEventListener("visibilitychange", () => {
  document.querySelectorAll(".phone").forEach(attend);
});

// ---- writing

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (!field.matches?.(".write textarea")) return;
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    field.form.requestSubmit();
  }
  if (event.key === "Escape") field.closest(".foot").querySelector(".picked button")?.click();
});

const typing = new WeakMap(); // form → the timer after which nobody types any more

function types(form, on) {
  const [chat, topic] = form.dataset.place.split(":");
  const was = typing.get(form);
  clearTimeout(was);
  if (on) typing.set(form, setTimeout(() => types(form, false), 4000));
  else typing.delete(form);
  if (on === (was !== undefined)) return;
  tell(form.closest(".phone"), "typing", { chat, topic, on: on ? "1" : "0" });
}

const drafts = new Map(); // field → what was begun in it, for when one comes back

document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (event.target.matches(".write textarea")) {
    drafts.set(event.target.id, event.target.value);
    types(form, event.target.value.trim() !== "");
  }
  if (event.target.matches(".write [type=file]")) attach(form, event.target.files[0]);
});

document.addEventListener("paste", (event) => {
  const form = event.target.closest?.(".write");
  const input = form?.querySelector("[type=file]");
  if (!input || !event.clipboardData.files.length) return;
  event.preventDefault();
  input.files = event.clipboardData.files;
  attach(form, input.files[0]);
});

function attach(form, file) {
  const shown = form.querySelector("[data-attached]");
  if (!shown) return;
  const [picture, name] = shown.children;
  shown.hidden = !file;
  name.textContent = file ? file.name : "";
  picture.hidden = !file?.type.startsWith("image/");
  if (!picture.hidden) {
    const reader = new FileReader(); // a data: address, as blob: ones are not allowed
    reader.onload = () => (picture.src = reader.result);
    reader.readAsDataURL(file);
  }
}

// What was written is gone from the field when it leaves, and back in it if it did not arrive.

const leaving = new WeakMap();

document.addEventListener("htmx:before:request", (event) => {
  document.getElementById("toast").replaceChildren();
  const form = event.target;
  if (form.closest?.(".foot")) end(form.closest(".phone").querySelector(".feed"));
  if (!form.matches?.(".write")) return;
  leaving.set(form, form.elements.text.value);
  clearTimeout(typing.get(form));
  typing.delete(form);
  form.elements.text.value = "";
  drafts.delete(form.elements.text.id);
  if (form.elements.file) form.elements.file.value = "";
  attach(form, null);
});

document.addEventListener("htmx:after:request", (event) => {
  if (event.detail.ctx.response.status >= 400) back(event.target);
});

document.addEventListener("htmx:error", (event) => {
  const toast = document.getElementById("toast");
  if (event.target.matches?.("[data-htmx-powered]:not(.phones)")) {
    const line = document.createElement("p");
    line.textContent = toast.dataset.failed;
    toast.replaceChildren(line);
  }
  back(event.target);
});

function back(form) {
  if (!form.matches?.(".write") || form.elements.text.value) return;
  form.elements.text.value = leaving.get(form) ?? "";
}

// ---- cards, pictures, and what a tap shows

document.addEventListener(
  "toggle",
  (event) => {
    const card = event.target;
    if (event.newState !== "open") return;
    if (card.matches?.(".card details")) card.scrollIntoView({ block: "nearest" });
    if (!card.matches?.("[popover]")) return;
    const opener = document.querySelector(`[popovertarget="${card.id}"]:not([popover] *)`);
    const from = opener.getBoundingClientRect();
    const [wide, high] = [innerWidth - card.offsetWidth - 8, innerHeight - card.offsetHeight - 8];
    const below = from.bottom + 4;
    card.style.left = `${Math.max(8, Math.min(from.left, wide))}px`;
    card.style.top = `${below <= high ? below : Math.max(8, from.top - card.offsetHeight - 4)}px`;
  },
  true,
);

document.addEventListener("click", (event) => {
  const target = event.target.closest?.("[data-large], [data-end], [data-drop], [data-tap]");
  if (!target) {
    if (event.target.id === "large") event.target.close();
    return;
  }
  if (target.dataset.large) {
    const dialog = document.getElementById("large");
    const picture = dialog.querySelector("img");
    picture.src = target.dataset.large;
    picture.alt = target.querySelector("img").alt;
    dialog.showModal();
  } else if ("end" in target.dataset) {
    end(target.closest(".feed"));
  } else if ("drop" in target.dataset) {
    const form = target.closest("form");
    form.elements.file.value = "";
    attach(form, null);
  } else {
    target.closest(".msg").toggleAttribute("data-open");
  }
});

// ---- the connection

const lost = document.getElementById("lost");
document.addEventListener("htmx:sse:error", () => (lost.hidden = false));
document.addEventListener("htmx:sse:after:connection", () => {
  lost.hidden = true;
  attentive.clear(); // the server may have been started anew
  document.querySelectorAll(".phone").forEach(attend);
});

// ---- beginning

document.addEventListener("htmx:after:swap", settle);
if (/^\/me\/./.test(location.pathname)) history.replaceState(null, "", "/me"); // hide the secret
settle();
