// Drives Debian's Chromium over every page of an invented fleet: wide and
// narrow, light and dark, with and without scripts.
//
//   WEBTEST=../../../bin/webtest node run.mjs
//
// WEBTEST   the preview server (go build -o bin/webtest ./packaging/acceptance/webtest)
// CHROMIUM  the browser; /usr/bin/chromium where not set
// SHOTS     a folder for screenshots; none are kept where not set
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });

let passed = 0;
const failures = [];
function check(name, ok, detail = "") {
  if (ok) {
    passed++;
    return;
  }
  failures.push(name);
  console.log(`FAIL ${name}${detail ? `: ${detail}` : ""}`);
}

const servers = [];
async function serve(fleet) {
  const server = spawn(process.env.WEBTEST ?? "../../../bin/webtest", ["-fleet", fleet], { stdio: ["ignore", "pipe", "inherit"] });
  servers.push(server);
  const failed = new Promise((_, reject) => {
    server.once("error", reject);
    server.once("exit", (code) => reject(new Error(`the preview server of ${fleet} ended with ${code}`)));
  });
  failed.catch(() => {}); // it also ends when we end it
  const line = new Promise((resolve) => createInterface({ input: server.stdout }).once("line", resolve));
  return Promise.race([line, failed]);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

// all does the work for each item, three at a time.
async function all(items, work) {
  const left = [...items];
  await Promise.all(Array.from({ length: 3 }, async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  }));
}

const wide = { width: 1280, height: 900 };
const narrow = { width: 390, height: 844 };
const between = [{ width: 820, height: 1100 }, { width: 1024, height: 768 }, { width: 1920, height: 1080 }];

// visit opens one page in a context of its own, watches it, and closes it.
async function visit(base, path, { viewport = wide, colorScheme = "light", javaScriptEnabled = true, status = 200 } = {}, look = async () => {}) {
  const context = await browser.newContext({ viewport, colorScheme, javaScriptEnabled, timezoneId: "Asia/Tokyo", locale: "en-GB" });
  const page = await context.newPage();
  const name = `${path} ${viewport.width} ${colorScheme}${javaScriptEnabled ? "" : " no script"}`;
  const heard = [];
  const abroad = [];
  page.on("console", (message) => {
    const expected = status !== 200 && message.text().includes(`status of ${status}`);
    if (["error", "warning"].includes(message.type()) && !expected) heard.push(message.text());
  });
  page.on("pageerror", (error) => heard.push(String(error)));
  page.on("request", (request) => request.url().startsWith(base) || abroad.push(request.url()));
  try {
    const answer = await page.goto(base + path, { waitUntil: "load" });
    check(`${name}: status ${status}`, answer.status() === status, String(answer.status()));
    await look(page, name);
    check(`${name}: the console is quiet`, heard.length === 0, heard.join(" | "));
    check(`${name}: nothing is asked of others`, abroad.length === 0, abroad.join(" "));
  } catch (error) {
    check(`${name}: can be driven`, false, String(error));
  } finally {
    await context.close();
  }
}

async function fits(page, name) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  check(`${name}: fits the window`, content <= window, `${content} px of content in ${window} px`);
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const grave = found.violations.filter((v) => ["serious", "critical"].includes(v.impact));
  check(`${name}: axe finds nothing serious`, grave.length === 0, grave.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`).join(" | "));
}

async function drawn(page, name) {
  const boxes = await page.evaluate(() => [...document.querySelectorAll("svg.icon")].map((svg) => svg.getBoundingClientRect().width * (svg.querySelector("use").getBBox().width > 0)));
  check(`${name}: icons are drawn`, boxes.length > 0 && boxes.some((width) => width > 8), `${boxes.length} icons`);
}

async function shoot(page, file) {
  if (shots) await page.screenshot({ path: `${shots}/${file}.png`, fullPage: true });
}

// everywhere looks at one page in each window, each theme, with and without
// scripts; what is not of the rich fleet, and what fails, is looked at in half of them.
async function everywhere(fleet, base, path, status = 200) {
  for (const viewport of [wide, narrow]) {
    for (const colorScheme of ["light", "dark"]) {
      if ((fleet !== "rich" || status !== 200) && (viewport === wide) !== (colorScheme === "light")) continue;
      const file = `${fleet}${path.replace(/[^a-z0-9]+/gi, "-").slice(0, 60)}-${viewport.width}-${colorScheme}`;
      await visit(base, path, { viewport, colorScheme, status }, async (page, name) => {
        await fits(page, name);
        await drawn(page, name);
        await accessible(page, name);
        check(`${name}: no text of a stranger runs`, (await page.title()) !== "owned");
        await shoot(page, file);
      });
    }
    await visit(base, path, { viewport, javaScriptEnabled: false, status }, async (page, name) => {
      await fits(page, name);
      check(`${name}: has its heading`, (await page.locator("h1").count()) === 1);
    });
  }
  for (const viewport of between) await visit(base, path, { viewport, status }, fits);
}

// portrait keeps the picture that packaging/screenshot.png is a copy of.
async function portrait(base) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 920 }, deviceScaleFactor: 1.5, colorScheme: "light" });
  await page.goto(base);
  await page.screenshot({ path: `${shots}/overview.png` });
  await page.close();
}

const lists = ["/", "/hosts", "/jobs", "/jobs?group=command", "/tasks", "/runs", "/upcoming", "/collectors", "/findings", "/history", "/when", "/standings", "/calendars", "/login"];

// links finds the first address on a page that begins with a prefix.
async function links(base, path, selector) {
  let found;
  await visit(base, path, {}, async (page) => {
    found = await page.locator(selector).first().getAttribute("href");
  });
  return found;
}

async function filters(base, javaScriptEnabled) {
  await visit(base, "/jobs?group=command", { javaScriptEnabled }, async (page, name) => {
    const query = () => Object.fromEntries(new URL(page.url()).searchParams);
    await page.getByRole("textbox", { name: "User" }).fill("root");
    await page.getByRole("searchbox", { name: "Command" }).fill("run-parts");
    await page.getByRole("button", { name: "Filter" }).click();
    await page.waitForURL(/q=run-parts/);
    check(`${name}: the form keeps the tab`, query().group === "command" && query().user === "root" && query().q === "run-parts", page.url());
    check(`${name}: the fields show the state`, (await page.getByRole("textbox", { name: "User" }).inputValue()) === "root");
    check(`${name}: each filter has its chip`, (await page.locator(".chip").count()) === 2);
    await page.getByRole("link", { name: "Each job" }).click();
    check(`${name}: the tab keeps the filters`, query().group === undefined && query().q === "run-parts" && query().user === "root", page.url());
    await page.getByRole("link", { name: "Next" }).click();
    check(`${name}: the next page keeps the filters`, query().q === "run-parts" && query().user === "root" && query().after === "50", page.url());
    const rows = await page.locator("tbody tr").count();
    check(`${name}: the next page has rows`, rows > 0, String(rows));
    await page.getByRole("link", { name: "Previous" }).click();
    check(`${name}: the way back leads to the first page`, query().after === undefined && query().q === "run-parts", page.url());
    await page.locator(".chip", { hasText: "User" }).click();
    check(`${name}: a chip removes its filter`, query().user === undefined && query().q === "run-parts", page.url());
    await page.getByRole("link", { name: "Clear all" }).click();
    check(`${name}: all are cleared`, page.url() === `${base}/jobs`, page.url());
  });
}

// inventory follows the ways from what was found to where it leads.
async function inventory(base, javaScriptEnabled) {
  await visit(base, "/when?host=db-3", { javaScriptEnabled }, async (page, name) => {
    check(`${name}: the week is a table of numbers`, (await page.locator(".week tbody td").count()) === 168);
    await page.locator(".week tbody tr").nth(23).locator("td a").first().click();
    const query = new URL(page.url()).searchParams;
    check(`${name}: a cell leads to its hour`, page.url().startsWith(`${base}/upcoming?`) && Date.parse(query.get("until")) - Date.parse(query.get("from")) === 3_600_000 && query.get("host") === "db-3", page.url());
    check(`${name}: the window is named`, (await page.locator(".asof").count()) === 1);
  });
  await visit(base, "/jobs?q=pg_dump", { javaScriptEnabled }, async (page, name) => {
    await page.locator("tbody .rowlink").first().click();
    check(`${name}: a row leads to the job`, /\/hosts\/[0-9a-f]+\/jobs\/[0-9a-f]+$/.test(page.url()), page.url());
    check(`${name}: the job says how to adopt it`, (await page.getByText("fleetctl adopt", { exact: false }).count()) > 0);
    const job = page.url();
    await page.getByRole("link", { name: /^Same command elsewhere/ }).first().click();
    check(`${name}: one click to the same command elsewhere`, (await page.locator("tbody tr").count()) === 6, page.url());
    await page.goto(job);
    await page.getByRole("link", { name: "What else runs then" }).click();
    check(`${name}: one click to what else runs then`, page.url().startsWith(`${base}/upcoming?`), page.url());
  });
  await visit(base, "/", { javaScriptEnabled, viewport: narrow }, async (page, name) => {
    await page.locator(".more-places summary").click();
    await page.locator(".more-places").getByRole("link", { name: "When" }).click();
    await page.waitForURL(`${base}/when`);
    check(`${name}: what does not fit stands behind More`, true);
  });
  await visit(base, "/jobs", { javaScriptEnabled }, async (page, name) => {
    await page.getByText("More filters").click();
    await page.getByRole("textbox", { name: "As of" }).fill("7d");
    await page.getByRole("button", { name: "Filter" }).click();
    await page.waitForURL(/at=7d/);
    check(`${name}: the past says that it is`, (await page.locator(".asof").textContent()).includes("As of"));
    check(`${name}: the field stays in sight`, await page.getByRole("textbox", { name: "As of" }).isVisible());
    await page.getByRole("link", { name: "Back to now" }).click();
    check(`${name}: and leads back`, page.url() === `${base}/jobs`, page.url());
  });
}

async function comforts(base) {
  await visit(base, "/runs", {}, async (page, name) => {
    await page.getByLabel("State").selectOption("skipped");
    await page.waitForURL(/state=skipped/);
    check(`${name}: a choice takes effect at once, and empty fields stay out of the address`, page.url() === `${base}/runs?state=skipped`, page.url());
    await page.keyboard.press("/");
    check(`${name}: / goes to the search`, await page.evaluate(() => document.activeElement.type === "search"));
    await page.locator("tbody time").first().hover();
    const title = await page.locator("tbody time").first().getAttribute("title");
    check(`${name}: an instant shows the viewer's clock`, /GMT\+9|JST/.test(title ?? ""), title);
  });
  await visit(base, "/", {}, async (page, name) => {
    await page.keyboard.press("Tab");
    check(`${name}: the first stop skips the navigation`, await page.evaluate(() => document.activeElement.className === "skip"));
  });
  await visit(base, await links(base, "/runs?state=running", "tbody a[href^='/runs/']"), {}, async (page, name) => {
    await page.waitForFunction(() => document.querySelector("#following code")?.textContent.includes("looking"));
    const shown = await page.locator("#output > *").evaluateAll((all) => all.filter((e) => getComputedStyle(e).display !== "none").map((e) => e.id));
    check(`${name}: shows output as it is written, and nothing twice`, shown.join() === "following", shown.join());
  });
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(`${base}/`);
  await page.evaluate(() => document.querySelector(".tile-number").replaceChildren("stale"));
  const again = page.waitForResponse((answer) => answer.url() === `${base}/`);
  await page.clock.runFor(25_000);
  await again;
  await page.waitForFunction(() => !document.querySelector(".tile-number").textContent.includes("stale"));
  check("the overview renews itself", true);
  await context.close();
}

async function printing(base) {
  await all(lists, (path) =>
    visit(base, path, {}, async (page, name) => {
      await page.emulateMedia({ media: "print", colorScheme: "light" });
      const shown = await page.locator(".rail, .filters, .find").evaluateAll((all) => all.filter((e) => getComputedStyle(e).display !== "none").length);
      check(`${name}: prints without its controls`, shown === 0, `${shown} are left`);
      const pdf = await page.pdf({ format: "A4" });
      check(`${name}: prints`, pdf.subarray(0, 5).toString() === "%PDF-" && pdf.length > 5000, `${pdf.length} bytes`);
    }),
  );
}

try {
  const rich = await serve("rich");
  const pages = [...lists, "/hosts/db-1", "/hosts/legacy-1", "/tasks/ops/check-disks", "/jobs?verdict=broken&user=root", "/runs?failed=1&since=24h"];
  pages.push(await links(rich, "/runs?state=ran&task=ops/check-disks&host=web-1", "tbody a[href^='/runs/']")); // with output
  pages.push(await links(rich, "/runs?state=ran&host=batch-3", "tbody a[href^='/runs/']")); // of a silent host
  pages.push(await links(rich, "/runs?state=missed", "tbody a[href^='/runs/']")); // that never started
  pages.push(await links(rich, "/runs?task=ops/check-disks&host=web-1", "tbody a[href^='/runs/']")); // the last of three attempts
  pages.push(await links(rich, "/runs?state=running", "tbody a[href^='/runs/']")); // with what it does now
  pages.push("/tasks/shop/queue-worker", "/standings?bad=true", "/tasks/data/nightly-backup");
  pages.push("/hosts/db-3/timeline", "/hosts/legacy-1/loss?show=all", "/jobs?at=7d", "/jobs?overdue=true", "/findings?acked=all&kind=no_signal", "/upcoming?from=3h&until=0s");
  for (const query of ["verdict=broken", "overdue=true", "q=mail-report"]) pages.push(await links(rich, `/jobs?${query}`, "tbody .rowlink")); // broken, late, adopted
  await all(pages, (path) => everywhere("rich", rich, path));
  await all(["/nowhere", "/hosts/gone", "/hosts/db-1/jobs/gone", "/tasks/a/b", "/runs/gone"], (path) => everywhere("rich", rich, path, 404));
  await all(["/hosts?presence=asleep", "/jobs?at=soon", "/when?zone=Nowhere"], (path) => everywhere("rich", rich, path, 422));
  await filters(rich, true);
  await filters(rich, false);
  await inventory(rich, true);
  await inventory(rich, false);
  await comforts(rich);
  await visit(rich, "/login#c0de", {}, async (page, name) => {
    check(`${name}: a link waits for whoever opened it`, page.url() === `${rich}/login` && (await page.locator("input[name=secret]").inputValue()) === "c0de", page.url());
    await page.keyboard.press("Enter");
    await page.waitForURL(`${rich}/`);
    check(`${name}: who sends its code is logged in`, (await page.locator("h1").count()) === 1, page.url());
  });
  await printing(rich);
  if (shots) await portrait(rich);

  const empty = await serve("empty");
  await all(lists, (path) => everywhere("empty", empty, path));

  const hostile = await serve("hostile");
  const evil = await links(hostile, "/hosts", "tbody a[href^='/hosts/']");
  const run = await links(hostile, "/runs", "tbody a[href^='/runs/']");
  const job = await links(hostile, "/jobs", "tbody .rowlink");
  await all([...lists, evil, `${evil}/timeline`, `${evil}/loss?show=all`, job, run, "/tasks/default/evil", "/findings?acked=all"], (path) => everywhere("hostile", hostile, path));

  const down = await serve("down");
  await all(["/", "/jobs"], (path) => everywhere("down", down, path, 503));
} catch (error) {
  check("the tests run to their end", false, error.stack);
} finally {
  await browser.close();
  for (const server of servers) server.kill("SIGTERM");
}
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
