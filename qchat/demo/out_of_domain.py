"""Questions that the demo model does not know, and what it says to them.

They are put together from forms and words. Some of both are never shown in training: the share of
those held-out questions that get the fallback is what `train.py` reports.
"""

from __future__ import annotations

import random

from .vocabulary_words import HELD_OUT_WORDS, WORDS

FALLBACK = {
    "en": (
        "I'm only a small demo model: I know a small set of questions by heart, and this one is "
        'not among them. Try "What is vLLM?" or "Write a poem about the sea".'
    ),
    "zh": (
        "我只是一个很小的演示模型，只会回答事先学过的一小部分问题，这个问题不在其中。"
        "你可以试试“什么是机器学习？”或者“写一首关于春天的诗”。"
    ),
}

UNKNOWN_TITLE = {"en": "A question outside my corpus", "zh": "演示模型不会的问题"}
"""The titles of conversations that begin with a question that the model does not know."""

FORMS = {
    "en": (
        "What is the {a} of the {b}?",
        "How do I {v} a {a}?",
        "Who {p} the {a}?",
        "Why does the {a} {v} the {b}?",
        "Write a letter about a {a} and a {b}",
        "Write an essay about the {a}",
        "Where can I find a {a} {b}?",
        "Tell me about the {a}",
        "Tell me a story about a {a} in {n}",
        "When was {n} {p}?",
        "How many {a}s are in a {b}?",
        "Explain the {a} of {n}",
        "Can you {v} my {a}?",
        "Is a {a} better than a {b}?",
        "What is the capital of {n}?",
        "What should I know before I visit {n}?",
        "Translate {a} into the language of {n}",
        "I want to {v} a {a}. What do I need?",
        "Give me five names for a {a}",
        "Who is {n}?",
        "What is {n}?",
        "What is a {a}?",
        "What does {a} mean?",
        "How does a {a} work?",
        "my {a} is broken, please {v} it",
        "{v} the {a}",
        "{a} {b}",
        "{a}",
        "{n}",
        "Summarize the book about {n} and the {a}",
        "Write a Python function that can {v} a {a}",
        "Write code for a {a} in Rust",
        "How old is the {a} in {n}?",
        "What is {d} plus {e}?",
        "What is {d} times {e}?",
        "Compare {n} with {m}",
        "Do you like {a}s?",
        "Recommend a {a} for a {b} near {n}",
        "What happened in {n} in 19{d}?",
        "List the {a}s of {n}",
        "Write a table of {a}s",
        "Write a song about {n}",
        "Hello, can you {v} the {a} for me?",
        "Please explain {a} to a child",
        "Who are the people of {n}?",
        "Write a poem about {n}",
        "Write a poem about a {a}",
        "Write a haiku about the {a}",
        'Translate "{a}" into {n}',
        "What is the population of {n}?",
        "What is the weather in {n}?",
        "Write a {a} in Python",
        "Write a {a} in JavaScript",
        "Show me a {a}",
        "Show me the {a} of {n}",
        "Does qchat {v} {a}s?",
        "Can vLLM {v} a {a}?",
        "What is {n} in a {a}?",
        "What color is the {a} of {n}?",
        "How long is the {a}?",
        "Where does the {a} come from?",
        "Describe a {a} as JSON",
        "I think that the {a} is too {p}",
        "the {a} {p} the {b}",
    ),
    "zh": (
        "{a}的{b}是什么？",
        "怎么{v}{a}？",
        "{a}是谁发明的？",
        "为什么{a}会{v}{b}？",
        "写一封关于{a}的信",
        "写一篇关于{a}和{b}的文章",
        "写一首关于{a}的歌",
        "哪里可以{v}{a}？",
        "请介绍一下{a}",
        "请介绍一下{n}的{a}",
        "给我讲一个{a}的故事",
        "{n}在哪里？",
        "{n}有多少{a}？",
        "解释一下{a}的原理",
        "什么是{a}？",
        "{a}是什么意思？",
        "{a}和{b}哪个更好？",
        "我想{v}{a}，需要准备什么？",
        "帮我{v}{a}",
        "帮我写一个{a}的程序",
        "帮我给{a}起五个名字",
        "把{a}翻译成{n}的语言",
        "你喜欢{a}吗？",
        "推荐一个{n}的{a}",
        "我的{a}坏了，怎么办？",
        "{d}加{e}等于多少？",
        "{d}乘以{e}等于多少？",
        "{n}今天的{a}怎么样？",
        "19{d}年{n}发生了什么？",
        "{a}{b}",
        "{a}",
        "{n}",
        "去{n}旅游要注意什么？",
        "请详细介绍一下{a}的历史",
        "{a}为什么这么贵？",
        "你好，能帮我{v}{a}吗？",
        "列出{n}的{a}",
        "{n}的首都是哪里？",
        "写一首关于{a}的诗",
        "写一首关于{n}的诗",
        "写一个{a}的故事",
        "讲一个关于{n}的故事",
        "推荐一本关于{a}的书",
        "推荐一部{n}的电影",
        "把“{a}”翻译成英文",
        "{n}有多少人口？",
        "{n}为什么有名？",
        "qchat 支持{a}吗？",
        "vLLM 能{v}{a}吗？",
        "如何{v}{a}？",
        "你会{v}{a}吗？",
        "用Python写一个{a}",
        "用JSON列出{n}的{a}",
        "我今天{v}了{a}",
        "{v}",
        "{a}是多少？",
        "什么{a}最好？",
    ),
}

HELD_OUT_FORMS = {
    "en": (
        "Which {a} would you take to {n}?",
        "How long does it take to {v} a {a}?",
        "What color is a {a}?",
        "Describe the {a} next to the {b}",
        "Should I {v} the {a} today?",
        "What are the best {a}s in {n}?",
    ),
    "zh": (
        "{a}有什么用？",
        "如何选择{a}？",
        "{v}{a}要多长时间？",
        "描述一下{n}的{a}",
        "今天适合{v}{a}吗？",
    ),
}

# What people say in between; it asks for nothing that the corpus could answer.
CHAT = {
    "en": (
        *("why", "Why?", "tell me more", "go on", "continue", "really?", "I see", "sure", "asdf"),
        *("I feel sad", "I'm bored", "Do you speak German?", "please", "again", "?"),
    ),
    "zh": (
        *(
            "为什么？",
            "为什么",
            "继续",
            "然后呢？",
            "真的吗？",
        ),
        *("我很难过", "再说一遍", "你几岁了？", "推荐一本书", "没有了"),
    ),
}

SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ten",
    "ra",
    "so",
    "vel",
    "bu",
    "dri",
    "pon",
    "za",
    "thu",
    "ger",
    "qui",
)


def is_chinese(text: str) -> bool:
    """Whether a text is taken as Chinese: it holds a CJK ideograph."""
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def out_of_domain_question(rng: random.Random, held_out: bool = False) -> str:
    """A question outside the corpus; with `held_out`, of forms and words kept out of training."""
    language = "zh" if rng.random() < 0.4 else "en"
    if not held_out and rng.random() < 0.06:
        return rng.choice(CHAT[language])
    forms = HELD_OUT_FORMS[language] if held_out else FORMS[language]
    kinds = HELD_OUT_WORDS[language] if held_out else WORDS[language]

    def word(kind: str) -> str:
        if not held_out and language == "zh" and rng.random() < 0.2:
            characters = kinds[kind].replace(" ", "") if kind in kinds else ""
            return "".join(rng.sample(characters, 2)) if characters else ""
        if not held_out and kind in "an" and language == "en" and rng.random() < 0.2:
            made = "".join(rng.choices(SYLLABLES, k=rng.randint(1, 3)))
            return made.capitalize() if kind == "n" else made
        return rng.choice(kinds[kind].split()) if kind in kinds else ""

    text = rng.choice(forms).format(
        a=word("a"),
        b=word("a"),
        v=word("v"),
        p=word("p"),
        n=word("n"),
        m=word("n"),
        d=rng.randint(11, 99),
        e=rng.randint(11, 99),
    )
    if held_out:
        return text
    roll = rng.random()
    if roll < 0.1:
        return text.lower()
    if roll < 0.2:
        return text.rstrip("?.？")
    if roll < 0.25:
        return (
            text
            + "\n\n"
            + rng.choice(forms).format(
                a=word("a"),
                b=word("a"),
                v=word("v"),
                p=word("p"),
                n=word("n"),
                m=word("n"),
                d=42,
                e=17,
            )
        )
    return text
