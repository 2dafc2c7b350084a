// The pages work without this script. It adds three comforts: an instant shows
// the viewer's own clock when pointed at, "/" goes to the search field, and a
// page that says so asks for itself again and swaps what is marked data-live.

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
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const replacement = fresh.getElementById(part.id);
    if (replacement) part.replaceWith(document.adoptNode(replacement));
  }
  if (!fresh.documentElement.dataset.again) clearInterval(timer);
}
const timer = seconds && setInterval(() => refresh().catch(() => {}), seconds * 1000);
