// @ts-check

/** @satisfies {import("../js/messages.js").Messages} */
export default {
  language: "ja",
  bar: "閲覧中の人",
  rest: "ほかに閲覧中の人",
  connecting: "接続中…",
  here: "{n}人が閲覧中",
  more: "+{n}人",
  you: "（自分）",
  away: "、離席中",
  reconnecting: "、再接続中",
  joined: "{names}が参加しました",
  left: "{names}が退出しました",
  others: "ほか{n}人",
  typing: "{names}が入力中…",
  manyTyping: "複数の人が入力中…",
  lastSeen: "最終閲覧：{name}さん（{time}）",
};
