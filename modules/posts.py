"""The posts that the lessons are read beside: what each is called, who wrote it, what it is about.

Where a post names no author, none is named here: what a site puts around every text is no name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Post:
    """`original` is the title as the post has it, `title` says it in English.  `author` is the
    name that the post gives, empty where it gives none."""

    key: str
    original: str
    title: str
    author: str
    subject: str


POSTS: dict[str, Post] = {
    post.key: post
    for post in (
        Post(
            "000",
            "FBKD connector解析",
            "The FBKD connectors taken apart",
            "",
            "The two connectors of feature-based knowledge distillation, with the shape after "
            "every line.",
        ),
        Post(
            "001",
            "ECA模块",
            "The ECA module",
            "九思Atopos",
            "Efficient channel attention for sequences of landmarks, written in Keras.",
        ),
        Post(
            "002",
            "local注意力怎么生成",
            "How local attention is made",
            "",
            "Spatial, channel and soft attention of HA-CNN. The title promises local attention, "
            "and its code is not shown.",
        ),
        Post(
            "003",
            "这段代码是什么意思?",
            "What does this code mean?",
            "",
            "Questions and answers on DyCAConv, a convolution behind coordinate attention.",
        ),
        Post(
            "004",
            "self attention-none local block与evcblock中的通用方法解释",
            "What self-attention, the non-local block and EVCBlock have in common",
            "",
            "One row for each place: the step that the non-local block and the codebook of "
            "EVCBlock share.",
        ),
    )
}
