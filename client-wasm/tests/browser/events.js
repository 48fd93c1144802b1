import {
  alice,
  begin,
  bob,
  carol,
  clock,
  delta,
  enter,
  equal,
  KEY,
  lastSocket,
  left,
  live,
  ok,
  presence,
  refused,
  reported,
  settled,
  snapshot,
  thrown,
  warnings,
} from "./world.js";

/** What is heard of some events, as `name: detail`. */
function hear(here) {
  const heard = [];
  here.on("join", ({ member, quiet }) => heard.push(`join ${member.name} ${quiet}`));
  here.on("leave", ({ member, reason }) => heard.push(`leave ${member.name} ${reason}`));
  here.on("update", ({ member, before }) => {
    heard.push(`update ${JSON.stringify(before.meta)} to ${JSON.stringify(member.meta)}`);
  });
  here.on("state", ({ state, reason }) => heard.push(`state ${state} ${reason}`));
  here.on("change", ({ members, count }) => heard.push(`change ${members.length} ${count}`));
  here.on("error", ({ code }) => heard.push(`error ${code}`));
  return heard;
}

export async function ready_waits_for_the_first_snapshot() {
  begin();
  const here = enter();
  let isReady = false;
  here.ready.then(() => (isReady = true));
  await settled();
  lastSocket().welcome();
  await settled();
  ok(!isReady, "live, but nobody is known");
  equal(here.state, "live");
  equal(here.members, []);
  equal(here.count, 0);
  equal(here.self, null);
  snapshot(lastSocket(), [alice(), bob()]);
  await settled();
  ok(isReady);
  equal(here.count, 2);
}

export async function ready_is_rejected_when_the_key_is_refused() {
  begin();
  const here = enter();
  const heard = hear(here);
  await settled();
  lastSocket().welcome();
  lastSocket().say({ error: { code: "key_denied", message: "no token allows it", key: KEY } });
  const error = await here.ready.catch((it) => it);
  equal(error.code, "key_denied");
  equal(error.message, "no token allows it");
  equal(here.state, "stopped");
  equal(heard.slice(1), ["state stopped key_denied", "error key_denied"]);
}

export async function members_keep_their_identity_until_they_change() {
  begin();
  const { here, socket } = await live([alice(), bob(), carol()]);
  const before = here.members;
  ok(here.members === before, "the list");
  delta(socket, 1, {});
  snapshot(socket, [alice(), bob(), carol()], 3);
  ok(here.members === before, "the list after no change");
  // Somebody corrects the computer's clock.
  clock.sleep(500);
  delta(socket, 3, { updated: [{ session: bob().session, meta: { a: 1 } }] });
  ok(here.members !== before);
  ok(here.members[0] === before[0] && here.members[2] === before[2]);
  ok(here.members[1] !== before[1]);
  equal(before[1].meta, {});
  equal(here.members[1].since, before[1].since, "it keeps its age");
}

export async function events_are_about_the_very_members_that_are_or_were_in_the_list() {
  begin();
  const { here, socket } = await live([alice(), bob(), carol()]);
  const told = [];
  here.on("update", ({ member, before }) => told.push(before, member));
  here.on("leave", ({ member }) => told.push(member));
  here.on("join", ({ member }) => told.push(member));
  const first = here.members;
  delta(socket, 1, { updated: [{ session: bob().session, meta: { a: 1 } }] });
  const second = here.members;
  ok(told[0] === first[1] && told[1] === second[1], "an update");
  delta(socket, 2, { left: [left(bob())], joined: [presence("dave", 0xd0, { since: 9000 })] });
  ok(told.includes(second[1]) && told.includes(here.members[2]), "a leave and a join");
  equal(
    [first, second, here.members].map((list) => list.map(({ name }) => name).join()),
    ["alice,bob,carol", "alice,bob,carol", "alice,carol,dave"],
    "a list that somebody holds stays as it was",
  );
  ok(second[0] === here.members[0] && second[2] === here.members[1]);
  ok([first, second, here.members].every(Object.isFrozen));
}

export async function members_and_metas_cannot_be_changed() {
  begin();
  const { here, socket } = await live([alice(), bob({ meta: { deep: { a: 1 } } })]);
  const [, member] = here.members;
  thrown(() => here.members.push(1));
  thrown(() => (member.name = "mallory"));
  thrown(() => (member.meta.deep = 2));
  member.meta.deep.a = 2;
  delta(socket, 1, { updated: [{ session: bob().session, state: "reconnecting" }] });
  equal(here.members[1].meta, { deep: { a: 1 } }, "what is further in is a copy");
}

export async function metas_of_several_tabs_are_merged_newest_first() {
  begin();
  const old = bob({ meta: { section: "goals", is_typing: true } });
  const young = presence("bob", 0xb1, { since: 5000, meta: { is_typing: false, page: 2 } });
  const { here } = await live([alice(), old, young]);
  equal(here.count, 2);
  const [, member] = here.members;
  equal(member.sessions, 2);
  equal([member.meta.section, member.meta.is_typing, member.meta.page], ["goals", false, 2]);
}

export async function proto_is_a_user_and_a_field_like_any_other() {
  begin();
  const { here, socket } = await live([alice()]);
  const text = JSON.stringify({
    delta: { key: KEY, from: 1, to: 2, joined: [presence("__proto__", 0xe1, { id: "__proto__" })] },
  });
  socket.sayRaw(text.replace('"meta":{}', '"meta":{"__proto__":{"polluted":1},"a":2}'));
  const member = here.members.find(({ userId }) => userId === "__proto__");
  equal(member.id, "__proto__");
  equal(Object.keys(member.meta), ["__proto__", "a"]);
  equal(member.meta.polluted, undefined);
  equal({}.polluted, undefined);
  const meta = JSON.parse('{"__proto__":{"polluted":1}}');
  await clock.pass(60);
  here.update(meta);
  ok(JSON.stringify(socket.sent.at(-1)).includes('"meta":{"__proto__":{"polluted":1}}'));
}

export async function each_event_comes_with_its_parts() {
  begin();
  const here = enter();
  const heard = hear(here);
  await settled();
  const socket = lastSocket();
  socket.welcome();
  snapshot(socket, [alice(), bob()]);
  delta(socket, 1, { joined: [carol()] });
  delta(socket, 2, { updated: [{ session: carol().session, meta: { a: 1 } }] });
  delta(socket, 3, { left: [left(carol()), left(bob(), "timeout")] });
  socket.say({ error: { code: "key_full", message: "full", key: KEY } });
  equal(heard, [
    "state live undefined",
    "change 2 2",
    "join carol false",
    "change 3 3",
    'update {} to {"a":1}',
    "change 3 3",
    "leave bob timeout",
    "leave carol left",
    "change 1 1",
    "error key_full",
  ]);
}

export async function a_listener_that_is_ended_is_not_called_even_from_within() {
  begin();
  const { here, socket } = await live();
  const heard = [];
  const listener = () => heard.push("twice");
  here.on("change", listener);
  const endOther = [];
  const end = here.on("change", () => {
    heard.push("once");
    end();
    endOther[0]();
  });
  endOther.push(here.on("change", () => heard.push("never")));
  here.on("change", listener);
  delta(socket, 1, { joined: [bob()] });
  delta(socket, 2, { joined: [carol()] });
  end();
  equal(heard, ["twice", "once", "twice", "twice", "twice"]);
  refused("bad_options", '"joined"', () => here.on("joined", listener));
  refused("bad_options", '"toString"', () => here.on("toString", listener));
  refused("bad_options", "function", () => here.on("join", "listener"));
}

export async function a_listener_that_is_added_from_within_hears_the_next() {
  begin();
  const { here, socket } = await live();
  let heard = 0;
  here.on("change", () => here.on("change", () => (heard += 1)));
  delta(socket, 1, { joined: [bob()] });
  equal(heard, 0);
  delta(socket, 2, { joined: [carol()] });
  equal(heard, 1);
}

export async function all_hear_an_event_before_anybody_hears_the_next() {
  begin();
  const { here, socket } = await live();
  const again = enter();
  const heard = [];
  here.on("join", () => here.update({ greeted: true }));
  again.on("join", () => heard.push("join"));
  here.on("change", () => heard.push("change"));
  delta(socket, 1, { joined: [bob()] });
  equal(heard, ["join", "change"]);
}

export async function a_listener_that_throws_keeps_nobody_from_hearing() {
  begin();
  const { here, socket } = await live();
  let heard = 0;
  here.on("change", () => {
    throw new Error("the page's own");
  });
  here.on("change", () => (heard += 1));
  delta(socket, 1, { joined: [bob()] });
  delta(socket, 2, { joined: [carol()] });
  equal(heard, 2);
  equal(
    reported.map(({ message }) => message),
    ["the page's own", "the page's own"],
  );
}

export async function a_listener_of_any_event_may_leave() {
  for (const [event, happen] of [
    ["join", (socket) => delta(socket, 1, { joined: [carol()] })],
    ["change", (socket) => delta(socket, 1, { left: [left(bob())] })],
    ["state", (socket) => socket.lose()],
    ["error", (socket) => socket.say({ error: { code: "bad_meta", message: "m", key: KEY } })],
  ]) {
    begin();
    const { here, socket } = await live([alice(), bob()]);
    here.on(event, () => here.leave());
    happen(socket);
    await settled();
    equal([event, here.state], [event, "stopped"]);
  }
}

export async function an_error_that_nobody_listens_to_is_a_warning() {
  begin();
  const { here, socket } = await live();
  const say = () => socket.say({ error: { code: "bad_meta", message: "m", key: KEY } });
  say();
  equal(warnings.length, 1);
  equal(warnings[0][0].code, "bad_meta");
  here.on("error", () => {});
  say();
  equal(warnings.length, 1);
}

export async function without_dedupe_each_tab_is_a_member() {
  begin();
  const tabs = [bob(), presence("bob", 0xb1, { since: 5000 })];
  const { here } = await live([alice(), ...tabs], { dedupe: "none" });
  equal(here.count, 3);
  equal(
    here.members.map(({ id, userId }) => `${id} ${userId}`),
    ["00000000000000a1 u-alice", "00000000000000b0 u-bob", "00000000000000b1 u-bob"],
  );
}

export async function self_is_the_reader() {
  begin();
  const { here } = await live([bob(), alice({ color: "#ABCDEF" })]);
  const { self } = here;
  ok(self === here.members.find((it) => it.self));
  equal([self.name, self.color, self.state], ["alice", "#abcdef", "active"]);
  ok(Math.abs(self.since - (Date.now() - 61_000)) < 2, `since ${self.since}`);
}

export async function an_info_is_an_object_or_null() {
  begin();
  const { here, socket } = await live([alice(), bob({ info: { role: "editor" } })]);
  equal(
    here.members.map(({ info }) => info),
    [null, { role: "editor" }],
  );
  const [, before] = here.members;
  delta(socket, 1, { joined: [bob({ info: { role: "reader" } })] });
  equal(here.members[1]?.info, { role: "reader" });
  ok(here.members[1] !== before, "and it is another member to those who compare");
}

export async function an_avatar_is_an_address_or_null() {
  begin();
  const { here } = await live([alice(), bob({ avatar: "/bob.png" })]);
  equal(
    here.members.map(({ avatar }) => avatar),
    [null, "/bob.png"],
  );
}
