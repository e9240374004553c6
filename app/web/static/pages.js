// Comfort only: every control works as a link or a form without this.
const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
const MOST_LINES = 6000;

addEventListener("click", async (event) => {
  for (const menu of $$(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  const el = event.target.closest("[data-copy], [data-wrap], [data-follow]");
  if (!el) return;
  if (el.dataset.copy) {
    try { await navigator.clipboard.writeText(el.dataset.copy); } catch { return; }
    const use = $("use", el), was = use.getAttribute("href");
    use.setAttribute("href", was.replace(/#.*/, "#i-check")); say("Copied");
    setTimeout(() => use.setAttribute("href", was), 1500);
    return;
  }
  const on = el.getAttribute("aria-pressed") !== "true", log = $(".log", el.closest(".logbox"));
  el.setAttribute("aria-pressed", on);
  if ("wrap" in el.dataset) { log.classList.toggle("wrap", on); log.classList.toggle("nowrap", !on); }
  else if (on) log.scrollTop = log.scrollHeight;
});

addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of $$(".menu[open]")) { menu.open = false; $("summary", menu).focus(); }
});

// A post is sent once, however often its button is pressed.
addEventListener("submit", (event) => setTimeout(() => { for (const b of $$("button", event.target)) b.disabled = true; }));
addEventListener("pageshow", () => { for (const b of $$("form button:disabled")) b.disabled = false; });

// A line named in the address is unfolded and shown.
function reveal() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  for (let at = target; at; at = at.parentElement) if (at.localName === "details") at.open = true;
  if (target) target.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", reveal); reveal();

function say(words) {
  const spot = $("#say") ?? document.body.appendChild(Object.assign(document.createElement("p"), { id: "say", className: "vh", role: "status" }));
  spot.textContent = words;
}

// The live page: logs follow their end until somebody scrolls up, and let go of what is far above.
const follows = (log) => $("[data-follow]", log.closest(".logbox"))?.getAttribute("aria-pressed") === "true";
addEventListener("scroll", ({ target }) => {
  if (!target.classList?.contains("log")) return;
  const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 24;
  $("[data-follow]", target.closest(".logbox"))?.setAttribute("aria-pressed", atEnd);
}, true);
const toEnd = () => { for (const log of $$(".log")) if (follows(log)) log.scrollTop = log.scrollHeight; };
addEventListener("htmx:after:swap", () => {
  for (const lines of $$(".log-page[data-live]")) {
    const excess = lines.childElementCount - MOST_LINES;
    if (excess < 500) continue;
    for (let n = 0; n < excess; n++) lines.firstElementChild.remove();
    $(".loggap", lines.parentElement).hidden = false;
  }
  toEnd();
});
toEnd();

// What somebody folded or unfolded stays so; the rest folds as the run goes on.
addEventListener("click", (event) => { const stage = event.target.closest(".stage > summary")?.parentElement; if (stage) stage.dataset.touched = ""; });
addEventListener("folds", ({ detail }) => {
  const closed = detail?.data && document.getElementById(detail.data);
  if (closed && !("touched" in closed.dataset)) closed.open = false;
});

// A lost connection is said, and so is that it is back.
let lost;
const mark = (words) => { for (const m of $$(".live")) m.textContent = words; };
addEventListener("htmx:sse:before:connection", ({ detail }) => { if (detail.connection.attempt) lost ??= setTimeout(() => mark("Reconnecting"), 3000); });
addEventListener("htmx:sse:after:connection", () => { clearTimeout(lost); lost = undefined; mark("Live"); });
addEventListener("htmx:sse:close", ({ detail }) => { if (detail.reason === "message") for (const m of $$(".live")) m.textContent = "Ended"; });
