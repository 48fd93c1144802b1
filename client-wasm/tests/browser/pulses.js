import {
  alice,
  begin,
  bob,
  carol,
  clock,
  delta,
  equal,
  lastSocket,
  left,
  live,
  ok,
  refused,
  snapshot,
} from "./world.js";

const said = (socket) => socket.frames("pulse").map(({ name, value }) => `${name} ${value}`);
const cursor = (value) => ({ session: bob().session, name: "cursor", value });

/** What is heard, as `who name value`. */
function hear(here) {
  const heard = [];
  here.on("pulse", ({ member, name, value, session }) => {
    heard.push(`${member.name} ${name} ${JSON.stringify(value)}`);
    equal(session, member.name === "bob" ? bob().session : carol().session);
  });
  return heard;
}

export async function a_pulse_is_sent_as_json_and_ended_by_null() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  here.pulse("cursor", ["goals", 0.5, { a: 'ü"' }]);
  await clock.pass(60);
  here.pulse("cursor", null);
  here.pulse("typing", true);
  await clock.pass(200);
  here.pulse("typing", null);
  await clock.pass(200);
  equal(said(socket), [
    'cursor ["goals",0.5,{"a":"ü\\""}]',
    "cursor undefined",
    "typing true",
    "typing undefined",
  ]);
  equal(socket.frames("pulse")[0].key, here.key);
}

export async function what_is_no_pulse_is_refused() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  refused("bad_pulse", "pulse: takes", () => here.pulse("Cursor", 1));
  refused("bad_pulse", "pulse: takes", () => here.pulse("", 1));
  refused("bad_pulse", "pulse: takes", () => here.pulse(undefined, 1));
  refused("bad_pulse", "pulse: takes", () => here.pulse("cursor", "x".repeat(511)));
  refused("bad_pulse", "pulse: takes", () => here.pulse("cursor", undefined));
  refused("bad_pulse", "pulse: takes", () => here.pulse("cursor", 1n));
  refused("bad_pulse", "pulse: takes", () => here.pulse("cursor", () => {}));
  for (const name of "abcdefgh") here.pulse(name, 1);
  refused("bad_pulse", "pulse: takes", () => here.pulse("i", 1));
  await clock.pass(500);
  equal(
    said(socket),
    [..."abcdefgh"].map((it) => `${it} 1`),
  );
  here.leave();
  here.pulse("a", 1);
  equal(here.pulses("a"), []);
}

export async function nothing_is_sent_alone_or_behind_other_tabs() {
  begin();
  const { here, socket } = await live();
  here.pulse("cursor", 1);
  await clock.pass(4000);
  equal(said(socket), []);
  delta(socket, 1, { joined: [bob()] });
  await clock.pass(0);
  equal(said(socket), ["cursor 1"]);
  await hidden(async () => {
    await clock.pass(1000);
    here.pulse("cursor", 2);
    await clock.pass(4000);
    equal(said(socket), ["cursor 1", "cursor undefined"]);
  });
  here.pulse("cursor", 3);
  await clock.pass(100);
  equal(said(socket).at(-1), "cursor 3");
}

export async function a_pulse_is_heard_once_until_it_changes_or_ends() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  const heard = hear(here);
  delta(socket, 1, { pulses: [cursor("[1]")] });
  delta(socket, 2, { pulses: [cursor("[1]")] });
  delta(socket, 3, { pulses: [{ session: alice().session, name: "cursor", value: "[9]" }] });
  equal(heard, ["bob cursor [1]"]);
  const [pulse] = here.pulses("cursor");
  ok(pulse.member === here.members[1], "the very member");
  equal(pulse.value, [1]);
  equal(here.pulses("typing"), []);
  delta(socket, 4, { pulses: [cursor("[2]")] });
  delta(socket, 5, { pulses: [cursor()] });
  delta(socket, 6, { pulses: [cursor(null)] });
  equal(heard.slice(1), ["bob cursor [2]", "bob cursor null"]);
  equal(here.pulses("cursor"), []);
}

export async function a_pulse_that_is_no_json_costs_no_more_than_itself() {
  begin();
  const { here, socket } = await live([alice(), bob(), carol()]);
  const heard = hear(here);
  const other = { session: carol().session, name: "cursor", value: "7" };
  delta(socket, 1, { pulses: [cursor("{"), other] });
  equal(heard, ["carol cursor 7"]);
  equal(here.state, "live");
}

export async function a_pulse_ends_with_its_session_its_silence_and_the_connection() {
  begin();
  const { here, socket } = await live([alice(), bob(), carol()]);
  const heard = hear(here);
  const other = { session: carol().session, name: "typing", value: "true" };
  delta(socket, 1, { pulses: [cursor("1"), other] });
  delta(socket, 2, { left: [left(bob())] });
  equal(heard.splice(0), ["bob cursor 1", "carol typing true", "bob cursor null"]);
  await clock.pass(7000);
  equal(heard.splice(0), ["carol typing null"]);
  delta(socket, 3, { pulses: [other] });
  socket.lose(4401);
  equal(heard, ["carol typing true", "carol typing null"]);
}

export async function what_holds_is_sent_again_after_a_loss() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  here.pulse("typing", true);
  await clock.pass(100);
  socket.lose();
  await clock.pass(1000);
  const next = lastSocket();
  ok(next !== socket);
  next.welcome({ resumed: true });
  snapshot(next, [alice(), bob()]);
  await clock.pass(100);
  equal(said(next), ["typing true"]);
}

async function hidden(act) {
  const tell = () => document.dispatchEvent(new Event("visibilitychange"));
  Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
  try {
    tell();
    await act();
  } finally {
    delete document.visibilityState;
    tell();
  }
}
