import {
  alice,
  begin,
  bob,
  carol,
  clock,
  delta,
  enter,
  equal,
  lastSocket,
  left,
  live,
  ok,
  place,
  presence,
  root,
  settled,
  snapshot,
  watch,
} from "./world.js";

const select = (selector) => document.querySelector(`#place ${selector}`);
const selectAll = (selector) => [...document.querySelectorAll(`#place ${selector}`)];
const names = () => selectAll(".presence-dot").map(({ dataset }) => dataset.name);
const dotOf = (name) => select(`.presence-dot[data-name="${name}"]`);
/** Opens the list of the rest. What does so is loaded with the first touch of a bar. */
const open = async (button) => {
  button.click();
  while (button.getAttribute("aria-expanded") !== "true") {
    await new Promise((done) => requestAnimationFrame(done));
  }
};
const crowd = (n) =>
  Array.from({ length: n }, (_, i) => presence(`p${i}`, 0x100 + i, { since: i }));

export async function it_says_that_it_connects_before_anything_is_known() {
  begin();
  const target = place();
  const here = enter();
  here.bar(target);
  equal(select(".presence").dataset.state, "connecting");
  equal(select(".presence-count").textContent, "Connecting…");
  equal(names(), []);
  await settled();
  lastSocket().welcome();
  equal(select(".presence").dataset.state, "connecting", "live, but nobody is known");
  snapshot(lastSocket(), [alice()]);
  equal(select(".presence").dataset.state, "live");
  equal(select(".presence-count").textContent, "1 here");
}

export async function members_are_dots_from_the_oldest_on() {
  begin();
  place();
  const { here } = await live([carol(), alice(), bob()]);
  here.bar("#place");
  equal(names(), ["alice", "bob", "carol"]);
  equal(select(".presence-count").textContent, "3 here");
  const list = select(".presence > ul.presence-dots");
  equal(list.getAttribute("role"), "list");
  equal(list.children.length, 3);
  const [dot] = selectAll("li > .presence-dot");
  equal(dot.tabIndex, 0);
  equal(dot.querySelector(".presence-initial").textContent, "a");
  equal(dot.querySelector(".presence-initial").getAttribute("aria-hidden"), "true");
  equal(dot.querySelector(".presence-name").textContent, "alice");
  equal(dot.querySelector(".presence-note").textContent, " (you)");
}

export async function who_stays_is_never_made_anew_nor_moved() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob(), carol()]);
  here.bar("#place");
  const [first, second, third] = selectAll("li");
  const records = watch(select("ul"));

  delta(socket, 1, { left: [left(bob())] });
  delta(socket, 2, { joined: [presence("dave", 0xd0, { since: 3000 })] });
  delta(socket, 3, { joined: [bob({ since: 4000 })] });
  delta(socket, 4, { updated: [{ session: carol().session, meta: { is_typing: true } }] });

  equal(names(), ["alice", "carol", "dave", "bob"]);
  const items = selectAll("li");
  ok(items[0] === first && items[1] === third, "the same nodes");
  ok(items[3] !== second, "bob was gone");
  const touched = records().flatMap(({ addedNodes, removedNodes }) => [
    ...addedNodes,
    ...removedNodes,
  ]);
  ok(!touched.includes(first) && !touched.includes(third), "who stays isn't moved");
}

export async function nothing_is_touched_when_nothing_changed() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob()]);
  here.bar("#place");
  const records = watch(document.querySelector("#place"));
  snapshot(socket, [bob(), alice()], 2);
  delta(socket, 2, { updated: [{ session: bob().session, meta: { section: "goals" } }] });
  delta(socket, 3, {});
  equal(records().length, 0, "mutations");
}

export async function only_who_enters_fades_in_and_only_once() {
  begin();
  place();
  const { here, socket } = await live([alice()]);
  here.bar("#place");
  equal(selectAll(".presence-entering").length, 0, "who was here first");
  delta(socket, 1, { joined: [bob()] });
  equal(
    selectAll(".presence-entering").map(({ dataset }) => dataset.name),
    ["bob"],
  );
  dotOf("bob").dispatchEvent(new Event("animationend", { bubbles: true }));
  equal(selectAll(".presence-entering").length, 0, "afterwards");
  // Another tab of hers, and the first one closed.
  delta(socket, 2, { joined: [presence("bob", 0xb1, { since: 5000 })] });
  delta(socket, 3, { left: [left(bob())] });
  equal(selectAll(".presence-entering").length, 0, "another tab");
}

export async function who_reconnects_is_dimmed_on_the_same_node() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob()]);
  here.bar("#place");
  const dot = dotOf("bob");
  delta(socket, 1, { updated: [{ session: bob().session, state: "reconnecting" }] });
  ok(dot === dotOf("bob"));
  equal(dot.dataset.state, "reconnecting");
  equal(dot.querySelector(".presence-note").textContent, ", reconnecting");
  delta(socket, 2, { updated: [{ session: bob().session, state: "active" }] });
  equal(dot.dataset.state, "active");
  equal(dot.querySelector(".presence-note").textContent, "");
}

export async function a_name_is_text_and_nothing_else() {
  begin();
  place();
  const name = "<img src=x onerror=window.pwned=1>";
  const { here } = await live([alice(), presence(name, 0xe1)]);
  here.bar("#place");
  here.bar("#place", { max: 1 });
  await open(selectAll(".presence-more-button")[0]);
  equal(selectAll("img").length, 0);
  equal(selectAll(".presence-name").filter(({ textContent }) => textContent === name).length, 2);
  equal(selectAll(".presence-initial")[1].textContent, "<");
}

export async function a_color_reaches_the_style_as_a_property() {
  begin();
  place();
  const { here } = await live([alice({ color: "#FFEE00" }), bob({ color: "#102030" })]);
  here.bar("#place");
  const properties = (name) => {
    const { style } = dotOf(name);
    return [style.getPropertyValue("--presence-color"), style.getPropertyValue("--presence-ink")];
  };
  equal(properties("alice"), ["#ffee00", "#000000"]);
  equal(properties("bob"), ["#102030", "#ffffff"]);
}

export async function the_rest_is_behind_a_button() {
  begin();
  place();
  const { here, socket } = await live(crowd(7));
  here.bar("#place");
  const button = select("li.presence-more > button.presence-more-button");
  equal(names().length, 5);
  equal(select(".presence-count").textContent, "7 here");
  equal(button.getAttribute("aria-label"), "+2 more");
  equal(button.getAttribute("aria-expanded"), "false");
  ok(select(".presence-list").hidden);
  await open(button);
  ok(!select(".presence-list").hidden);
  equal(
    selectAll(".presence-list .presence-name").map(({ textContent }) => textContent),
    ["p5", "p6"],
  );
  delta(socket, 1, { left: [left(crowd(7)[5]), left(crowd(7)[6])] });
  equal(select(".presence-more"), null, "nobody is left over");
  delta(socket, 2, { joined: [crowd(7)[6]] });
  equal(select(".presence-more-button").getAttribute("aria-label"), "+1 more");
  ok(select("ul").lastElementChild.matches(".presence-more"), "it comes last");
  ok(select(".presence-list").hidden, "it is closed again");
}

export async function the_list_of_the_rest_is_closed_by_escape_and_by_pressing_elsewhere() {
  begin();
  const outside = place("outside");
  place();
  const { here } = await live(crowd(3));
  here.bar("#place", { max: 1 });
  const [button, list] = [select("button"), select(".presence-list")];

  await open(button);
  let heard = false;
  root.addEventListener("keydown", () => (heard = true), { once: true });
  list.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  ok(list.hidden, "by Escape");
  ok(document.activeElement === button, "the focus is on the button");
  ok(!heard, "Escape was meant for the list alone");

  button.click();
  list.dispatchEvent(new Event("pointerdown", { bubbles: true }));
  ok(!list.hidden, "pressing inside");
  outside.dispatchEvent(new Event("pointerdown", { bubbles: true }));
  ok(list.hidden, "pressing outside");

  button.click();
  button.click();
  ok(list.hidden, "by the button");
}

export async function the_list_of_the_rest_keeps_up_while_it_is_open() {
  begin();
  place();
  const { here, socket } = await live(crowd(3));
  here.bar("#place", { max: 1 });
  await open(select("button"));
  const [first, second] = selectAll(".presence-person");
  delta(socket, 1, { joined: [carol({ since: 90 })], left: [left(crowd(3)[0])] });
  // The one who moved up has a dot now.
  equal(names(), ["p1"]);
  const people = selectAll(".presence-person");
  equal(people.length, 2);
  ok(people[0] === second && people[0] !== first);
  equal(people[1].textContent, "ccarol");
}

export async function a_bar_is_stale_once_the_grace_is_over() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob()]);
  here.bar("#place");
  const items = selectAll("li");
  socket.lose();
  await clock.pass(29_000);
  equal(select(".presence").dataset.state, "live");
  equal(select(".presence-count").textContent, "2 here");
  await clock.pass(2_000);
  equal(select(".presence").dataset.state, "stale");
  equal(select(".presence-count").textContent, "2 here");
  ok(selectAll("li").every((it, i) => it === items[i]));
}

export async function a_bar_that_is_taken_away_leaves_nothing_behind() {
  begin();
  const target = place();
  target.append("before");
  const { here, socket } = await live([alice()]);
  const remove = here.bar(target);
  here.bar("#place");
  equal(selectAll(".presence").length, 2);
  remove();
  remove();
  equal(selectAll(".presence").length, 1);
  here.leave();
  equal(target.innerHTML, "before");
  ok(socket.closedWith !== null);
}

export async function a_blur_handler_that_calls_back_breaks_nothing() {
  begin();
  const target = place();
  const { here, socket } = await live([alice(), bob()]);
  here.bar(target);
  target.addEventListener("focusout", () => {
    here.update({ blurred: true });
    here.bar(target);
    equal(here.members.length, 1);
  });
  dotOf("bob").focus();
  delta(socket, 1, { left: [left(bob())] });
  await settled();
  equal([...new Set(names())], ["alice"]);
  here.leave();
  equal(target.children.length, 0);
}

export async function a_blur_handler_may_call_back_while_what_has_the_focus_is_taken_away() {
  begin();
  const [target, area] = [place(), place("area")];
  const { here, socket } = await live([alice(), bob()]);
  const parts = [here.bar(target), here.flash(area)];
  delta(socket, 1, { joined: [carol()] });
  const focused = [dotOf("bob"), area.querySelector(".presence-flash")];
  let n = 0;
  const callBack = () => {
    n += 1;
    here.update({ n });
  };
  for (const it of [target, area]) it.addEventListener("focusout", callBack);
  for (const [at, remove] of parts.entries()) {
    focused[at].focus();
    remove();
    equal([n, here.self.meta], [at + 1, {}]);
    await clock.pass(100);
    equal(socket.frames("update").at(-1).meta, { n });
  }
  delta(socket, 2, { left: [left(bob())] });
  equal(here.members.length, 2);
}

export async function a_bar_and_a_flash_speak_the_language_of_the_page() {
  begin();
  place();
  const area = place("area");
  const { default: messages } = await import("../../locales/de.js");
  const { here, socket } = await live([...crowd(2), alice()], { messages });
  here.bar("#place", { max: 2 });
  here.flash(area);
  equal(select(".presence").getAttribute("aria-label"), "Wer hier ist");
  equal(select(".presence-count").textContent, "3 hier");
  equal(select(".presence-more-button").textContent, "+1");
  equal(select(".presence-more-button").getAttribute("aria-label"), "+1 weitere");
  equal(dotOf("alice").querySelector(".presence-note").textContent, " (du)");
  delta(socket, 1, { joined: [bob()] });
  equal(area.textContent, "bob ist jetzt hier");
}

export async function a_picture_is_shown_until_it_fails() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob({ avatar: "/missing.png" })]);
  here.bar("#place");
  const image = dotOf("bob").querySelector("img.presence-avatar");
  equal(image.getAttribute("src"), "/missing.png");
  equal(image.getAttribute("referrerpolicy"), "no-referrer");
  equal([image.loading, image.alt, image.getAttribute("part")], ["lazy", "", "avatar"]);
  equal(dotOf("alice").querySelector("img"), null);
  delta(socket, 1, { updated: [{ session: bob().session, state: "reconnecting" }] });
  ok(dotOf("bob").querySelector("img") === image, "the same node");
  equal(dotOf("bob").querySelector(".presence-note").textContent, ", reconnecting");
  image.dispatchEvent(new Event("error"));
  equal(dotOf("bob").querySelector("img"), null);
  equal(dotOf("bob").querySelector(".presence-initial").textContent, "b");
}

export async function the_ink_can_be_read_on_every_color() {
  const { ink } = await import("../../js/ink.js");
  const linear = (channel) =>
    channel <= 10 ? channel / 255 / 12.92 : ((channel / 255 + 0.055) / 1.055) ** 2.4;
  const steps = Array.from({ length: 18 }, (_, i) => i * 15);
  for (const red of steps) {
    for (const green of steps) {
      for (const blue of steps) {
        const hex = [red, green, blue].map((it) => it.toString(16).padStart(2, "0")).join("");
        const luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        const isBlack = ink(`#${hex}`) === "#000000";
        const contrast = isBlack ? (luminance + 0.05) / 0.05 : 1.05 / (luminance + 0.05);
        ok(contrast >= 4.5, `#${hex}: ${contrast}`);
      }
    }
  }
}
