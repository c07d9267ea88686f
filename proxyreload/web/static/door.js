"use strict";
// The token comes behind the # of the address, which no server and no log of one is told, or is typed in.
const find = (selector) => document.querySelector(selector);

function say(text) {
  find("#said").textContent = text;
  find("#said").className = "bad";
}

async function enter(token) {
  try {
    const headers = {"Content-Type": "application/json", Authorization: `Bearer ${token}`};
    const answer = await fetch("api/session", {method: "POST", headers, body: "{}"});
    if (!answer.ok) {
      sessionStorage.removeItem("token");
      return say(answer.status === 401 ? "this is not the token" : (await answer.json()).error);
    }
    if (!(await fetch("api/state")).ok) return say("this browser keeps no cookie of this page");
    sessionStorage.setItem("token", token);
    location.reload();
  } catch (error) {
    say(`not done: ${error.message}`);
  }
  return null;
}

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) history.replaceState(null, "", location.pathname);
const known = given ?? sessionStorage.getItem("token");
if (known) enter(known);
find("#token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(find("#token").value);
});
