// Where so many wait that the server takes no more, the page asks again until there is room, and says so meanwhile.
(() => {
  const ask = window.fetch;
  const said = () => {
    const line = document.querySelector("#lgg-line") ?? document.body.appendChild(document.createElement("div"));
    line.id = "lgg-line";
    line.setAttribute("role", "status");
    return line;
  };
  window.fetch = async (where, how) => {
    let answer = await ask(where, how);
    if (!String(where?.url ?? where).includes("/queue/join")) return answer;
    while (answer.status === 429) {
      said().textContent = (await answer.json()).detail;
      await new Promise((done) => setTimeout(done, 3000));
      answer = await ask(where, how);
    }
    document.querySelector("#lgg-line")?.remove();
    return answer;
  };
})();
