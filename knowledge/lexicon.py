"""Word lists: what a message asks for, where a few words decide it better than any search.

All is judged on text folded to one width, lower case and Simplified; wishes and refusals clause by
clause, so that "I don't want the bot, I want a person" is heard as it is meant.
"""

from __future__ import annotations

import re
from typing import Literal

from knowledge.search import folded

Courtesy = Literal["greeting", "thanks", "farewell", "agreement"]

LONGEST = 1_000  # characters that are judged
CLAUSES = re.compile(r"[,，.。;；!！?？、~\n]+|\bbut\b|但是?|\brather\b|\binstead of\b")
MARKS = re.compile(r"[^\w\s']+|_+")

# ---- asking for a human, in Chinese

MADE_BY_HAND = "智能|采|炒|制|费|香|色|甜|合成|添加|培|种|翻译|成本|手"  # 人工 means that too
OF_THE_DESK = "电话|时间|热线|邮箱|微信|号码|几点|上班|下班"  # a question about it, not for it
HAN_WHO = (
    f"(?:人工(?!{MADE_BY_HAND})|客服(?!{OF_THE_DESK})"
    "|真人|活人|管理员|店员|店主|老板|负责人|工作人员|群主)"
)
HAN_VERB = (
    "(?:转接?到?|接通?|找|叫|喊|联系|换|来|要|呼叫|派|请|给我|有没有|有|[和跟与同])"
    "(?:一?下|一?[个位])?(?:你们的?)?"
)
HAN_BARE = re.compile(
    "(?:我想?要|请|麻烦|快|帮我)?(?:人工|客服|真人|活人|人工客服|人工服务|真人客服|在线客服)"
    "(?:在吗|在不在|呢|吧|啊|谢谢|快来)?|有人(?:在)?吗"
)
HAN_WISH = re.compile(
    f"{HAN_VERB}{HAN_WHO}"
    "|[找叫让请换][个位]?(?:同事|人)(?:来|帮|聊|说|谈|问|处理|解决|看|接|联系|跟|和|回)"
)
HAN_REFUSED = re.compile(
    "(?<![要能可])(?:不用|不要|不必|不需要?|无需|别|不想|不找|不转|不是|用不着|没必要)"
    f"(?:再|给我|帮我|麻烦|去|了)*(?:{HAN_VERB})?{HAN_WHO}"
)
HAN_COMPLAINED = re.compile("(?:为什么|为何|怎么|干嘛|能|可以?)还?不")  # "why not" is no "no"
HAN_ABOUT_US = re.compile(f"(?:你|这|那边?|对面|回复我的)?(?:到底)?是(?:不是)?{HAN_WHO}")

# ---- and in English

WHO = (
    "(?:humans?|persons?|people|human being|agent|representative|rep|operator|someone|somebody"
    "|colleague|manager|admin|staff|support|customer (?:service|support|care))"
)
ONE = (
    "(?:(?:an?|the|some|any|your|one of your) )?"
    "(?:(?:real|actual|live|living|human|proper|support|service) )*"
)
BARE = re.compile(
    f"(?:please |pls |hi |hello )?{ONE}"
    "(?:humans?|persons?|human being|agent|representative|operator|live chat"
    "|customer (?:service|support|care))(?: (?:please|pls|now|help|here))*"
)
WISH = re.compile(
    r"\b(?:talk|talking|speak|speaking|chat|chatting|write|connect|transfer|hand|pass|put|switch"
    "|get|escalate)(?: (?:me|this|it|us))?(?: (?:over|through|on))? (?:to|with) "
    rf"{ONE}{WHO}\b"
    r"|\b(?:want|need|get|give|call|bring|find|send|prefer|have|fetch)(?: me| us)? "
    rf"{ONE}{WHO}\s*(?:$|please|now|here|who can|asap|not a|i can|right"
    "|to (?:talk|help|speak|answer|look|handle|assist|call|contact))"
    rf"|\b(?:reach|contact) {ONE}(?:human|person|agent|representative|operator)\b"
    rf"|\bis there {ONE}(?:human|person|someone|somebody|agent)\b.*\b(?:talk|speak|help|there)\b"
)
REFUSED = re.compile(
    r"\b(?:don'?t|do not|doesn'?t|didn'?t|no need|not|never|without|no)\b"
    rf"(?: \w+){{0,5}}? {ONE}{WHO}\b"
)
COMPLAINED = re.compile(
    r"\b(?:why (?:don'?t|can'?t|not|won'?t)|don'?t you|can'?t i|can i not|isn'?t there)\b"
)
ABOUT_US = re.compile(
    r"(?:so |and |hi |hello )?(?:are you|r u|is (?:this|it|that)"
    r"|am i (?:talking|speaking|chatting|writing)|is there a (?:human|person) (?:reading|behind))\b"
)


def wants_human(text: str) -> bool:
    """Whether somebody asks for a human being to answer, rather than about one.

    >>> wants_human("转人工"), wants_human("不用人工"), wants_human("是人工采摘的吗")
    (True, False, False)
    >>> wants_human("Can I talk to a person?"), wants_human("Am I talking to a person?")
    (True, False)
    """
    clauses = CLAUSES.split(folded(text[:LONGEST]).replace("’", "'"))
    return any(_asks_for_human(bare(clause)) for clause in clauses)


def _asks_for_human(clause: str) -> bool:
    han = clause.replace(" ", "")
    if HAN_BARE.fullmatch(han) or BARE.fullmatch(clause):
        return True
    if HAN_WISH.search(han) and not HAN_ABOUT_US.match(han):
        return not HAN_REFUSED.search(han) or bool(HAN_COMPLAINED.search(han))
    if WISH.search(clause) and not ABOUT_US.match(clause):
        return not REFUSED.search(clause) or bool(COMPLAINED.search(clause))
    return False


# ---- danger

CRISIS = re.compile(
    "跳楼|自杀|自尽|轻生|不想活|活不下去|活着没意思|想死(?!你|我了)|去死算了|割腕"
    "|了结(?:自己|生命)|结束(?:自己的)?生命"
    r"|\bkill (?:myself|me)\b|\bsuicid|\bend (?:my life|it all)\b|\bwant to die\b"
    r"|\bhurt(?:ing)? myself\b|\bself.?harm|\bdon'?t want to (?:live|be alive)\b"
    r"|\bno reason to live\b|\bjump off\b"
)


def in_crisis(text: str) -> bool:
    """Whether somebody may be about to harm themselves; rather once too often than too seldom.

    >>> in_crisis("如果你不马上退款我就去跳楼"), in_crisis("这茶好喝到想死我了")
    (True, False)
    """
    return CRISIS.search(folded(text[:LONGEST]).replace("’", "'")) is not None


# ---- small talk

COURTESIES: dict[Courtesy, re.Pattern[str]] = {
    "greeting": re.compile(
        "(?:hi|hello|hey|hiya|howdy|greetings|good (?:morning|afternoon|evening|day))"
        "(?: (?:there|all|everyone|again|you))?"
        "|[你您]好[呀啊吗]?|大家好|嗨+|哈[喽啰罗]|早|早安|[早上中下晚]上?[午]?好|在吗|在不在"
    ),
    "thanks": re.compile(
        "(?:ok |great |cool )?(?:thanks?|thank you|thx|ty|cheers|many thanks)"
        "(?: (?:so much|very much|a lot|you|again))?"
        "|(?:好的?)?(?:谢谢|多谢|感谢|谢了|谢啦|太感谢了|非常感谢)[你您了啦哦啊]*|辛苦了"
    ),
    "farewell": re.compile(
        "(?:good ?)?bye(?: bye)?|good night|see you(?: later| soon)?"
        "|再见|拜拜|晚安|回头见|下次见|先这样"
    ),
    "agreement": re.compile(
        "ok(?:ay)?|got it|i see|sure|great|cool|nice|all ?right|good|perfect|fine|yes|no"
        "|好[的吧呀啊哒]?|嗯+|行吧?|可以|收到|了解|明白了?|知道了|是的?|不是|对|没事了?"
    ),
}


def courtesy(text: str) -> Courtesy | None:
    """What a message that is nothing but politeness says; None if it says more.

    >>> courtesy("你好！"), courtesy("Thanks a lot 🙏"), courtesy("hello, do you deliver?")
    ('greeting', 'thanks', None)
    """
    said = bare(folded(text[:LONGEST]))
    return next((kind for kind, known in COURTESIES.items() if known.fullmatch(said)), None)


# ---- what is nobody else's business

OWN_CASE = re.compile(
    "我的?(?:工单|投诉|案件|反馈)|(?:工单|投诉)(?:的?进度|处理|怎么样)"
    r"|\bmy (?:case|ticket|complaint|support request)\b"
)


def about_own_case(text: str) -> bool:
    """Whether somebody asks how their own case stands, which is never told in a group.

    >>> about_own_case("我的工单进度怎么样？"), about_own_case("怎么投诉")
    (True, False)
    """
    return OWN_CASE.search(folded(text[:LONGEST])) is not None


def bare(text: str) -> str:
    """The words alone, one space between them: no punctuation, no pictures.

    >>> bare("  Hello,  there! 🙏 ")
    'Hello there'
    """
    return " ".join(MARKS.sub(" ", text).split())
