// @ts-check

/** @satisfies {import("../js/messages.js").Messages} */
export default {
  language: "ar",
  bar: "من هنا الآن",
  rest: "آخرون هنا الآن",
  connecting: "جارٍ الاتصال…",
  here: {
    zero: "لا أحد هنا",
    one: "شخص واحد هنا",
    two: "شخصان هنا",
    few: "{n} أشخاص هنا",
    many: "{n} شخصًا هنا",
    other: "{n} شخص هنا",
  },
  more: { one: "+{n} آخر", two: "+{n} آخران", few: "+{n} آخرون", other: "+{n} آخرون" },
  you: " (أنت)",
  away: "، غير نشط",
  reconnecting: "، يُعاد الاتصال",
  joined: "انضم {names}",
  left: "غادر {names}",
  others: {
    one: "شخص آخر",
    two: "شخصان آخران",
    few: "{n} آخرون",
    many: "{n} آخرون",
    other: "{n} آخرون",
  },
  typing: {
    one: "{names} يكتب الآن…",
    two: "{names} يكتبان الآن…",
    other: "{names} يكتبون الآن…",
  },
  manyTyping: "عدة أشخاص يكتبون الآن…",
  lastSeen: "آخر مشاهدة: {name}، {time}",
};
