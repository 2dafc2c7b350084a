// The pages work without this script. It adds five comforts: an instant shows
// the viewer's own clock when pointed at, "/" goes to the search field, a page
// that says so asks for itself again and swaps what is marked data-live, what
// is marked data-follow shows a run's output as it is written, and a link that
// logs in fills in its code, to be sent by whoever opened it.

const door = document.querySelector("form.login");
if (door && location.hash.length > 1) {
  door.elements.secret.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname); // the code is in no history
  door.querySelector("button").focus(); // a link that somebody else sent logs nobody in by itself
}

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

function tellLocalTime(event) {
  const time = event.target.closest?.("time[datetime]");
  if (time && !time.title) time.title = local.format(new Date(time.dateTime)) + ", your clock";
}
document.addEventListener("pointerover", tellLocalTime);
document.addEventListener("focusin", tellLocalTime);

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = document.querySelector("input[type=search]");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});

// A choice from a list takes effect at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("form.filters select")) event.target.form.requestSubmit();
});

// Fields left empty stay out of the address.
document.addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && field.value === "") field.disabled = true;
});
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form :disabled")) field.disabled = false;
});

const seconds = Number(document.documentElement.dataset.again);

async function refresh() {
  if (document.visibilityState !== "visible" || document.activeElement?.closest("[data-live]")) return;
  const headers = { Accept: "text/html" };
  if (following) headers["X-Fleetcron-Follows"] = "1";
  const answer = await fetch(location.href, { headers });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live], [data-follow]")) {
    const replacement = fresh.getElementById(part.id);
    if (replacement && !(following && replacement.dataset.follow)) part.replaceWith(document.adoptNode(replacement));
  }
  if (!fresh.documentElement.dataset.again) clearInterval(timer);
}
const timer = seconds && setInterval(() => refresh().catch(() => {}), seconds * 1000);

// The last of the output of a run that goes on, in place of what the page came
// with. It is text and stays text. What breaks off begins anew.
const mostShown = 400000; // characters
const output = document.querySelector("[data-follow]");
let following = false;

async function follow() {
  const answer = await fetch(output.dataset.follow);
  if (!answer.ok) return;
  const panel = document.getElementById("following");
  const page = panel.querySelector("pre");
  const code = panel.querySelector("code");
  code.textContent = "";
  following = true;
  for (const part of output.children) part.hidden = part !== panel;
  const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let shown = 0; ; ) {
    const { value, done } = await pieces.read();
    if (done) break;
    const atEnd = page.scrollTop + page.clientHeight >= page.scrollHeight - 8;
    code.append(value);
    shown += value.length;
    while (shown > mostShown && code.childNodes.length > 1) {
      shown -= code.firstChild.length;
      code.firstChild.remove();
    }
    if (atEnd) page.scrollTop = page.scrollHeight;
  }
}

async function followOn() {
  while (output.isConnected) {
    if (document.visibilityState === "visible") await follow().catch(() => {});
    following = false;
    await refresh().catch(() => {});
    await new Promise((wake) => setTimeout(wake, 2000));
  }
}
if (output) followOn();
