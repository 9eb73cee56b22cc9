// What the pages of this folder share: a session as in lib/sessions.js, in a
// browser. The verdict is window.result, {from, transport} or {error}.

/* exported session */
function session (f) {
  let from = ''
  const check = (answer, sent) => {
    if (from && from !== answer.from) throw new Error(`answered by ${answer.from} after ${from}`)
    from = answer.from
    if (answer.data !== sent) throw new Error(`sent ${sent}, got back ${answer.data}`)
  }
  const failure = new Promise((resolve, reject) => { f.fail = text => reject(new Error(text)) })
  const converse = async (ask, when) => {
    for (let i = 0; i < 8; i++) {
      const text = `${when} ${i}: grüße, 你好 ☃ 😀`
      check(await ask(text), text)
    }
    const burst = ['one', 'two', 'three', 'four']
    const answers = await Promise.all(burst.map(ask))
    answers.forEach((answer, i) => check(answer, burst[i]))
  }
  Promise.race([f(converse, text => f.fail(text)), failure]).then(
    transport => { window.result = { from, transport } },
    err => { window.result = { error: err.message } }
  )
}
