import { chromium } from "playwright-core"; import { readFile } from "node:fs/promises";
const axe = await readFile("/work/wt/page/tests/stack/node_modules/axe-core/axe.min.js", "utf8");
const b=await chromium.launch({executablePath:"/usr/bin/chromium",headless:true,args:["--no-sandbox","--disable-gpu","--disable-quic","--no-first-run","--disable-background-networking","--disable-component-update","--disable-sync"]});
for (const [w,theme] of [[1280,"light"],[1280,"dark"],[360,"light"],[360,"dark"]]) {
  const c=await b.newContext({viewport:{width:w,height:w<500?780:860},colorScheme:theme}); const p=await c.newPage();
  p.on("console",m=>{if(m.type()!=="log")console.log(w,theme,"console",m.text().slice(0,200))}); p.on("pageerror",e=>console.log("ERR",e.message));
  for (const v of ["payments","payments/pay_01kaf4rza2e38v79e6wbw02j04","exceptions","signers","networks","volume","webhooks","search?q=nothing"]) {
    await p.goto("http://127.0.0.1:4999/#/"+v); await p.waitForTimeout(700);
    const wide=await p.evaluate(()=>document.documentElement.scrollWidth-innerWidth); if(wide>0)console.log(w,theme,v,"WIDE",wide);
    await p.evaluate(axe); const {violations}=await p.evaluate(()=>globalThis.axe.run(document,{runOnly:["wcag2a","wcag2aa","wcag21aa","wcag22aa","best-practice"]}));
    for(const it of violations)console.log(w,theme,v,it.id,it.nodes.slice(0,2).map(n=>n.html.slice(0,140)+" :: "+n.any.map(a=>a.message).join(";").slice(0,160)).join(" | "));
    await p.screenshot({path:`/tmp/mock/shots/${w}-${theme}-${v.split("/").length>1?"story":v.split("?")[0]}.png`});
  }
  await p.keyboard.press("?"); await p.waitForTimeout(200); await p.screenshot({path:`/tmp/mock/shots/${w}-${theme}-help.png`});
  await c.close();
}
await b.close();
