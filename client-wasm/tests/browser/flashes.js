import {
  alice,
  begin,
  bob,
  carol,
  clock,
  delta,
  equal,
  left,
  live,
  ok,
  place,
  presence,
  refused,
  reported,
} from "./world.js";

const flashes = () => [...document.querySelectorAll(".presence-flash")];
const texts = () => flashes().map((it) => it.textContent);

/** What a screen reader would read of a live region since the last call. */
function hearing(area) {
  const heard = [];
  new MutationObserver((records) => {
    for (const { target, addedNodes } of records) {
      const element = target instanceof Element ? target : target.parentElement;
      const isLive = (it) => it?.closest("[aria-live]") === area;
      if (!isLive(element)) continue;
      const added = [...addedNodes].filter((it) => !(it instanceof Element) || isLive(it));
      heard.push(...added.map((it) => it.textContent));
    }
  }).observe(area, { subtree: true, childList: true, characterData: true });
  return () => heard.splice(0);
}

export async function the_area_is_a_polite_live_region_from_the_start() {
  begin();
  const area = place();
  const { here } = await live();
  here.flash("#place");
  ok(area.hasAttribute("data-presence-flash"));
  equal(area.getAttribute("role"), "status");
  equal(area.getAttribute("aria-live"), "polite");
  equal(area.getAttribute("aria-atomic"), "false");
  equal(area.textContent, "");
}

export async function none_stays_when_the_key_is_refused() {
  begin();
  const area = place();
  const { here, socket } = await live();
  const hears = hearing(area);
  here.flash("#place");
  here.on("error", () => {});
  delta(socket, 1, { joined: [bob()] });
  equal(texts(), ["bob joined"]);
  socket.say({ error: { code: "key_denied", message: "no token allows it", key: here.key } });
  equal(texts(), []);
  await clock.pass(10_000);
  ok(!hears().includes("bob joined"), "nothing is said of a key that has ended");
}

export async function joined_and_left_are_shown_for_four_seconds() {
  begin();
  place();
  const { here, socket } = await live();
  here.flash("#place");
  delta(socket, 1, { joined: [bob({ color: "#123456" })] });
  equal(texts(), ["bob joined"]);
  const [flash] = flashes();
  equal(flash.dataset.kind, "joined");
  const dots = [...flash.querySelectorAll(".presence-flash-dot")];
  equal(
    dots.map(({ style }) => style.getPropertyValue("--presence-color")),
    ["#123456"],
  );
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
  equal(flashes()[0].dataset.kind, "left");
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

export async function an_area_may_call_another_connection_when_its_own_has_ended() {
  begin();
  const { here: other } = await live([alice(), bob()], { token: "another" });
  const counts = [];
  class CallingArea extends HTMLElement {
    static observedAttributes = ["aria-live"];
    attributeChangedCallback() {
      counts.push(other.count);
    }
  }
  customElements.define("calling-area", CallingArea);
  const area = document.createElement("calling-area");
  place().append(area);
  const { here, socket } = await live();
  here.on("error", () => {});
  here.flash(area);
  // With its only key goes the connection, and with that what it has put into the page.
  socket.say({ error: { code: "key_denied", message: "no token allows it", key: here.key } });
  equal(area.hasAttribute("aria-live"), false);
  equal(counts, [2, 2]);
  equal(reported, []);
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

export async function several_in_one_second_are_one_sentence_on_one_node() {
  begin();
  place();
  const { here, socket } = await live();
  here.flash("#place");
  delta(socket, 1, { joined: [bob()] });
  const [flash] = flashes();
  await clock.pass(500);
  delta(socket, 2, { joined: [carol()] });
  equal(texts(), ["bob and carol joined"]);
  delta(socket, 3, { joined: [presence("<b>", 0xe1)] });
  equal(texts(), ["bob, carol and <b> joined"]);
  delta(socket, 4, { joined: [presence("erin", 0xe2), presence("frank", 0xe3)] });
  equal(texts(), ["bob, carol and 3 others joined"]);
  ok(flashes()[0] === flash, "the same node");
  delta(socket, 5, { left: [left(carol())] });
  equal(texts(), ["bob, <b> and 2 others joined"], "she was only passing by");
  equal(document.querySelectorAll("b").length, 0);
}

export async function each_sentence_is_said_once_when_it_is_certain() {
  begin();
  const area = place();
  const { here, socket } = await live();
  here.flash(area);
  const heard = hearing(area);
  delta(socket, 1, { joined: [bob()] });
  await clock.pass(999);
  delta(socket, 2, { joined: [carol()] });
  equal(heard(), []);
  await clock.pass(1);
  equal(heard(), ["bob and carol joined"]);
  delta(socket, 3, { left: [left(bob()), left(carol())] });
  await clock.pass(4_999);
  equal(heard(), []);
  delta(socket, 4, { joined: [carol()] });
  await clock.pass(1);
  equal(heard(), ["bob left"]);
  await clock.pass(10_000);
  equal([heard(), area.textContent], [[], ""], "and nothing is left of it");
}

export async function all_who_tell_of_somebody_tell_the_same_however_long_one_takes() {
  begin();
  const area = place();
  const { here, socket } = await live();
  here.flash(area);
  const hears = hearing(area);
  const told = [];
  here.on("flash", ({ text }) => told.push(text));
  const { now } = performance;
  let late = 0;
  performance.now = () => now() + late;
  area.append = (...nodes) => {
    late = 50;
    Element.prototype.append.apply(area, nodes);
  };
  delta(socket, 1, { joined: [bob()] });
  const said = [];
  for (let i = 0; i < 2000 && !said.includes("bob joined"); i += 1) {
    await clock.pass(1);
    said.push(...hears());
  }
  // Whoever hadn't been told yet would take it for a visit that nobody needs to know of.
  delta(socket, 2, { left: [left(bob())] });
  await clock.pass(10_000);
  performance.now = now;
  await clock.pass(late);
  equal([...said, ...hears()], ["bob joined", "bob left"]);
  equal(told, ["bob joined", "bob left"]);
}

export async function a_flash_stays_while_somebody_points_at_it_or_has_the_focus_in_it() {
  begin();
  const area = place();
  const { here, socket } = await live();
  here.flash(area);
  delta(socket, 1, { joined: [bob()] });
  const [flash] = flashes();
  await clock.pass(3_000);
  const tell = (type) =>
    flash.firstElementChild.dispatchEvent(new PointerEvent(type, { bubbles: true }));
  tell("pointerover");
  ok(area.hasAttribute("data-held"));
  flash.focus();
  await clock.pass(60_000);
  tell("pointerout");
  ok(area.hasAttribute("data-held"), "the focus is still there");
  await clock.pass(60_000);
  equal(texts(), ["bob joined"]);
  flash.blur();
  ok(!area.hasAttribute("data-held"));
  await clock.pass(999);
  equal(texts(), ["bob joined"]);
  await clock.pass(1);
  equal(texts(), []);
}

export async function a_flash_that_is_withdrawn_under_the_pointer_holds_nothing() {
  begin();
  const area = place();
  const { here, socket } = await live();
  here.flash(area);
  delta(socket, 1, { joined: [bob()] });
  flashes()[0].dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
  delta(socket, 2, { left: [left(bob())] });
  ok(!area.hasAttribute("data-held"));
  await clock.pass(4_000);
  equal(texts(), []);
}

export async function flashes_can_be_switched_off_by_kind_and_by_number() {
  begin();
  for (const id of ["joins", "leaves", "few"]) place(id);
  const { here, socket } = await live();
  here.flash("#joins", { leaves: false });
  here.flash("#leaves", { joins: false });
  here.flash("#few", { muteAbove: 2 });
  const shown = () =>
    ["joins", "leaves", "few"].map(
      (id) => document.querySelector(`#${id} .presence-flash`)?.textContent ?? "",
    );
  delta(socket, 1, { joined: [bob()] });
  equal(shown(), ["bob joined", "", "bob joined"]);
  delta(socket, 2, { joined: [carol()] });
  equal(shown(), ["bob and carol joined", "", "bob joined"]);
  await clock.pass(6_000);
  delta(socket, 3, { left: [left(carol())] });
  equal(shown(), ["", "carol left", "carol left"]);
}

export async function a_page_can_show_flashes_its_own_way() {
  begin();
  const { here, socket } = await live();
  const heard = [];
  const stop = here.on("flash", (it) => heard.push(it));
  const few = [];
  here.on("flash", ({ text }) => few.push(text), { joins: false });
  delta(socket, 1, { joined: [bob(), carol()] });
  await clock.pass(999);
  equal(heard, []);
  await clock.pass(1);
  equal(heard.length, 1);
  equal([heard[0].kind, heard[0].text], ["joined", "bob and carol joined"]);
  ok(heard[0].members[0] === here.members[1] && Object.isFrozen(heard[0].members));
  delta(socket, 2, { left: [left(bob()), left(carol())] });
  await clock.pass(4_000);
  delta(socket, 3, { joined: [carol()] });
  await clock.pass(1_000);
  equal([heard[1].kind, heard[1].text], ["left", "bob left"]);
  equal(
    heard[1].members.map(({ name }) => name),
    ["bob"],
  );
  stop();
  delta(socket, 4, { left: [left(carol())] });
  await clock.pass(5_000);
  equal([heard.length, few], [2, ["bob left", "carol left"]]);
}

export async function a_listener_that_leaves_or_throws_breaks_nothing() {
  begin();
  const { here, socket } = await live();
  here.flash(place());
  here.on("flash", () => {
    here.leave();
    throw new Error("mine");
  });
  delta(socket, 1, { joined: [bob()] });
  await clock.pass(1_000);
  equal([here.state, texts().length], ["stopped", 0]);
  equal(reported.map(String), ["Error: mine"]);
  here.flash("#place");
  equal(document.querySelector("#place").outerHTML, '<div id="place"></div>');
}

export async function who_stops_or_leaves_within_a_listener_hears_nothing_more() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  const heard = [];
  const stop = here.on("flash", ({ text }) => {
    heard.push(`1: ${text}`);
    stop();
  });
  here.on("flash", ({ text }) => {
    heard.push(`2: ${text}`);
    here.leave();
  });
  here.on("flash", ({ text }) => heard.push(`3: ${text}`));
  delta(socket, 1, { left: [left(bob())] });
  await clock.pass(4_000);
  delta(socket, 2, { joined: [carol()] });
  await clock.pass(1_000);
  equal(heard, ["1: bob left", "2: bob left"]);
}

export async function a_leave_that_is_not_said_before_a_loss_is_not_said_after_it() {
  for (const lose of [
    ({ socket }) => socket.lose(),
    () => window.dispatchEvent(new Event("pagehide")),
  ]) {
    begin();
    const { here, socket } = await live([alice(), bob()]);
    const heard = [];
    here.on("flash", ({ text }) => heard.push(text));
    delta(socket, 1, { left: [left(bob())] });
    await clock.pass(2_000);
    lose({ socket });
    await clock.pass(10_000);
    equal(heard, []);
    window.dispatchEvent(new Event("pageshow"));
  }
}

export async function options_of_flashes_that_are_wrong_are_refused() {
  begin();
  const area = place();
  const { here } = await live();
  const wrong = [
    [null, "flash"],
    [{ joined: true }, "joined"],
    [{ joins: 1 }, "joins"],
    [{ leaves: "no" }, "leaves"],
    [{ muteAbove: -1 }, "muteAbove"],
    [{ muteAbove: 1.5 }, "muteAbove"],
    [{ muteAbove: "5" }, "muteAbove"],
  ];
  for (const [options, name] of wrong) {
    refused("bad_options", name, () => here.flash(area, options));
    refused("bad_options", name, () => here.on("flash", () => {}, options));
  }
  equal(area.attributes.length, 1, "nothing is left of it");
  refused("bad_options", "join", () => here.on("join", () => {}, { muteAbove: 20 }));
  here.flash(area, { muteAbove: 0, joins: undefined });
}

export async function sentences_are_those_of_the_language() {
  begin();
  for (const [language, joined, two] of [
    ["de", "bob, carol und 2 weitere Personen sind jetzt hier", "bob und carol sind gegangen"],
    ["ja", "bob、carol、ほか2人が参加しました", "bob、carolが退出しました"],
    ["ar", "انضم bob وcarol وشخصان آخران", "غادر bob وcarol"],
  ]) {
    const { default: messages } = await import(`../../locales/${language}.js`);
    const area = place(language);
    const { here, socket } = await live([alice()], { messages });
    here.flash(area);
    const others = [presence("erin", 0xe2), presence("frank", 0xe3)];
    delta(socket, 1, { joined: [bob(), carol(), ...others] });
    equal(area.textContent, joined);
    await clock.pass(1_000);
    delta(socket, 2, { left: [left(bob()), left(carol())] });
    equal(area.lastElementChild.textContent, two);
    here.leave();
  }
}

export async function another_language_begins_with_the_next_sentence_and_forgets_nothing() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob()]);
  here.flash("#place");
  const heard = [];
  here.on("flash", ({ text }) => heard.push(text));
  delta(socket, 1, { joined: [carol()], left: [left(bob())] });
  const { default: messages } = await import("../../locales/de.js");
  here.messages = messages;
  equal(texts(), ["bob left", "carol joined"]);
  await clock.pass(1_000);
  delta(socket, 2, { joined: [bob()] });
  equal([texts(), heard], [["carol joined"], ["carol ist jetzt hier"]]);
  delta(socket, 3, { left: [left(carol())] });
  equal(texts(), ["carol ist gegangen"]);
}
