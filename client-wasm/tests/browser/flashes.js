import {
  alice,
  begin,
  bob,
  clock,
  delta,
  equal,
  left,
  live,
  ok,
  place,
  presence,
} from "./world.js";

const texts = () => [...document.querySelectorAll(".presence-flash")].map((it) => it.textContent);

export async function the_area_is_a_polite_live_region_from_the_start() {
  begin();
  const area = place();
  const { here } = await live();
  here.flash("#place");
  ok(area.hasAttribute("data-presence-flash"));
  equal(area.getAttribute("role"), "status");
  equal(area.getAttribute("aria-live"), "polite");
  equal(area.getAttribute("aria-atomic"), "false");
  equal(area.childNodes.length, 0);
}

export async function joined_and_left_are_shown_for_four_seconds() {
  begin();
  place();
  const { here, socket } = await live();
  here.flash("#place");
  delta(socket, 1, { joined: [bob({ color: "#123456" })] });
  equal(texts(), ["bob joined"]);
  const flash = document.querySelector(".presence-flash");
  equal(flash.dataset.kind, "joined");
  equal(flash.style.getPropertyValue("--presence-color"), "#123456");
  await clock.pass(2000);
  delta(socket, 2, { joined: [presence("<b>", 0xe1)] });
  equal(texts(), ["bob joined", "<b> joined"]);
  equal(document.querySelectorAll("b").length, 0);
  await clock.pass(1999);
  equal(texts().length, 2);
  await clock.pass(1);
  equal(texts(), ["<b> joined"]);
  await clock.pass(2000);
  equal(texts(), []);
  delta(socket, 3, { left: [left(bob(), "timeout")] });
  equal(texts(), ["bob left"]);
  equal(document.querySelector(".presence-flash").dataset.kind, "left");
}

export async function a_reload_withdraws_its_left() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob()]);
  here.flash("#place");
  delta(socket, 1, { left: [left(bob())] });
  equal(texts(), ["bob left"]);
  await clock.pass(1000);
  delta(socket, 2, { joined: [presence("bob", 0xb1, { since: 9000 })] });
  equal(texts(), []);
}

export async function who_was_here_first_is_not_announced() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob()]);
  here.flash("#place");
  equal(texts(), []);
  delta(socket, 1, { joined: [presence("alice", 0xa2)] });
  equal(texts(), [], "one's own second tab");
}

export async function an_area_that_is_taken_away_is_as_it_was() {
  begin();
  const area = place();
  const { here, socket } = await live();
  const before = area.outerHTML;
  const remove = here.flash(area);
  delta(socket, 1, { joined: [bob()] });
  equal(texts(), ["bob joined"]);
  remove();
  equal(area.outerHTML, before);
  here.flash(area);
  delta(socket, 2, { left: [left(bob())] });
  equal(texts(), ["bob left"]);
  here.leave();
  equal(area.outerHTML, before);
}

export async function what_the_page_says_of_its_area_stays() {
  begin();
  const area = place();
  area.setAttribute("role", "log");
  const { here } = await live();
  const remove = here.flash(area);
  equal(area.getAttribute("role"), "log");
  remove();
  equal(area.getAttribute("role"), "log");
}
