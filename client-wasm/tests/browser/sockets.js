import {
  alice,
  beacons,
  begin,
  bob,
  clock,
  enter,
  equal,
  KEY,
  lastSocket,
  live,
  ok,
  place,
  refused,
  refuseSockets,
  reported,
  root,
  settled,
  snapshot,
  sockets,
  watch,
} from "./world.js";

export async function a_socket_is_opened_with_the_subprotocol() {
  begin();
  enter();
  await settled();
  const socket = lastSocket();
  equal([socket.url, socket.protocol], ["wss://relay.example/v1/presence", "whoshere.v1"]);
  socket.open();
  equal(socket.sent, [{ hello: { token: "token", dial: 1 } }]);
}

export async function a_socket_that_cannot_be_opened_is_tried_again() {
  begin();
  refuseSockets(new DOMException("insecure", "SecurityError"));
  const here = enter();
  await settled();
  equal(here.state, "connecting");
  refuseSockets(null);
  await clock.pass(5_000);
  ok(sockets.length > 0);
  lastSocket().lose(1006);
  await clock.pass(40_000);
  ok(sockets.length > 1);
}

export async function what_is_no_frame_makes_it_dial_again() {
  for (const data of ["garbage", "", "{}", new Blob(["x"]), undefined, '{"heartbeat":{}}']) {
    begin();
    const { here, socket } = await live();
    socket.sayRaw(data);
    equal(socket.closedWith, 4000);
    equal(here.state, "reconnecting");
    equal(here.count, 1);
  }
}

export async function a_fault_while_something_is_done_keeps_nothing_else_from_being_done() {
  begin();
  const { here, socket } = await live();
  const fault = new Error("a fault");
  const send = socket.send;
  socket.send = () => {
    throw fault;
  };
  await clock.pass(10_000);
  ok(reported[0] === fault, "a developer sees it");
  socket.send = send;
  const beats = socket.frames("heartbeat").length;
  snapshot(socket, [alice(), bob()], 2);
  equal(here.count, 2);
  await clock.pass(10_000);
  ok(socket.frames("heartbeat").length > beats, "it goes on beating");
  here.update({ a: 1 });
  equal(socket.frames("update").length, 1);
}

export async function a_loss_shows_nothing_and_is_resumed() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  const target = place();
  here.bar(target);
  here.flash(place("flashes"));
  const heard = [];
  for (const event of ["join", "leave", "update"]) here.on(event, () => heard.push(event));
  const records = watch(root);
  const before = here.members;
  socket.lose();
  equal(here.state, "reconnecting");
  await clock.pass(2_000);
  const next = lastSocket();
  next.open();
  equal(next.frames("hello"), [{ token: "token", resume: "resume-token", dial: 2 }]);
  next.welcome({ resumed: true });
  snapshot(next, [alice(), bob()], 9);
  equal(here.state, "live");
  equal(heard, []);
  ok(here.members === before);
  equal(records().length, 0, "mutations");
}

export async function a_former_socket_is_not_listened_to() {
  begin();
  const { here, socket } = await live();
  const { onmessage, onclose } = socket;
  socket.lose();
  await clock.pass(1_000);
  const next = lastSocket();
  next.welcome({ resumed: true });
  equal([socket.onopen, socket.onmessage, socket.onclose], [null, null, null]);
  ok(onmessage !== null && onclose !== null);
  equal(here.state, "live");
}

export async function leaving_tells_the_relay_and_takes_everything_away() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  here.bar(place());
  here.flash(place("flashes"));
  let heard = 0;
  here.on("state", () => (heard += 1));
  here.leave();
  here.leave();
  equal(socket.frames("leave"), [{ key: KEY }]);
  equal(socket.closedWith, 1000);
  equal(document.querySelectorAll(".presence, .presence-flash").length, 0);
  equal([here.state, here.count, here.self], ["stopped", 0, null]);
  equal(heard, 0);
  here.update({ a: 1 });
  equal(socket.frames("update"), []);
  equal(beacons, []);
}

export async function one_socket_serves_several_keys() {
  begin();
  const { here, socket } = await live();
  const other = enter({ key: "document:43" });
  await settled();
  equal(sockets.length, 1);
  equal(
    socket.frames("join").map(({ key }) => key),
    [KEY, "document:43"],
  );
  equal([here.state, other.state], ["live", "live"]);
  snapshot(socket, [alice(), bob()], 1, "document:43");
  equal([here.count, other.count], [1, 2]);
  here.leave();
  equal(socket.frames("leave"), [{ key: KEY }]);
  equal(socket.closedWith, null);
  other.leave();
  equal(socket.closedWith, 1000);
}

export async function another_token_means_another_socket() {
  begin();
  const token = () => "a.b.c";
  enter({ token, key: "a" });
  enter({ token, key: "b" });
  enter({ token: () => "a.b.c", key: "c" });
  enter({ token: "token", key: "d" });
  enter({ token: "token", key: "e" });
  enter({ token: "token", key: "e", url: "wss://other.example/v1/presence" });
  await settled();
  equal(sockets.length, 4);
}

export async function one_key_that_is_opened_twice_is_left_once() {
  begin();
  const { here, socket } = await live([alice()], { meta: { a: 1 } });
  await clock.pass(60);
  const again = enter({ meta: { b: 2 } });
  let isReady = false;
  again.ready.then(() => (isReady = true));
  await settled();
  ok(isReady, "the snapshot is there already");
  equal(again.count, 1);
  equal(
    socket.frames("update").map(({ meta }) => meta),
    [{ a: 1, b: 2 }],
  );
  here.bar(place());
  again.bar("#place");
  here.leave();
  equal(socket.frames("leave"), []);
  equal(document.querySelectorAll(".presence").length, 1);
  equal([here.state, again.state], ["stopped", "live"]);
  again.leave();
  equal(socket.frames("leave").length, 1);
}

export async function a_key_cannot_be_opened_with_both_kinds_of_dedupe() {
  begin();
  const { here } = await live();
  refused("bad_options", "dedupe", () => enter({ dedupe: "none" }));
  equal(here.state, "live");
}

export async function a_stopped_connection_is_begun_anew_by_the_next_connect() {
  begin();
  const { here, socket } = await live();
  here.on("error", () => {});
  socket.lose(4401);
  equal(here.state, "stopped");
  const again = enter();
  await settled();
  equal(sockets.length, 2);
  lastSocket().welcome();
  snapshot(lastSocket(), [alice()]);
  equal([here.state, again.state], ["stopped", "live"]);
}
