"""Train the demo model on its corpus, from nothing, until it answers every pair to the letter.

    python -m qchat.demo.train --out DIR

Needs torch, transformers, tokenizers and safetensors, which come with vLLM. The folder is written
only if every pair is reproduced with the rounded weights, or if --save-anyway is given. One thread
is the default: on a busy machine two of them were seen to take several times as long.

After a small change of the corpus, go on from the checkpoint that is there, at lower rates:

    python -m qchat.demo.train --start DIR --out DIR --steps 600 --muon-rate 0.008 --adam-rate 0.002
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from . import CONTEXT_LENGTH, Pair, pairs, path
from .lessons import Encoder, TrainingExample, corpus_examples, draw, held_out, texts
from .vocabulary import EOS, PAD, save_tokenizer, train_tokenizer

# Written by hand; its place is beside the weights that were trained with it.
TEMPLATE = path() / "chat_template.jinja"
VOCABULARY = 3072
SAFE = 2.0  # in logits; other kernels and batches round differently, so right is not enough


@dataclass(frozen=True)
class TrainingPlan:
    """What a run does. `tokens` is the size of one step's batch, padding included."""

    out: Path
    steps: int = 1600
    tokens: int = 2000
    seed: int = 7
    threads: int = 1
    muon_rate: float = 0.02
    adam_rate: float = 0.004
    rounds: int = 6
    start: Path | None = None
    save_anyway: bool = False


@dataclass(frozen=True)
class Score:
    """Teacher-forced greedy decoding: how many lessons come out to the letter.

    `margin` is the smallest lead of a right token's logit over the next best; `shaky` names the
    lessons with a lead below SAFE, the wrong ones among them.
    """

    right: int
    total: int
    margin: float
    wrong: tuple[str, ...]
    shaky: tuple[str, ...]


def build_model(vocabulary: int, pad: int, eos: int) -> Qwen3ForCausalLM:
    """A freshly initialised Qwen3 of the demo model's shape."""
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        pad_token_id=pad,
        bos_token_id=None,
        eos_token_id=eos,
        use_cache=False,
    )
    return Qwen3ForCausalLM(config)


def logits_of(
    model: Qwen3ForCausalLM, batch: Sequence[TrainingExample], pad: int
) -> tuple[Any, Any]:
    """The logits at every place where the model speaks, and the tokens it should say there."""
    width = max(len(lesson.ids) for lesson in batch)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros((len(batch), width), dtype=torch.bool)
    for row, lesson in enumerate(batch):
        ids[row, : len(lesson.ids)] = torch.tensor(lesson.ids)
        for first, end in lesson.spans:
            mask[row, first:end] = True
    # Padding stands on the right, so the causal mask alone keeps it out of sight.
    hidden = model.model(input_ids=ids).last_hidden_state
    return model.lm_head(hidden[:, :-1][mask[:, 1:]]), ids[:, 1:][mask[:, 1:]]


def spoken(lesson: TrainingExample) -> int:
    """How many tokens of a lesson the model has to say."""
    return sum(end - first for first, end in lesson.spans)


def batches(lessons: Sequence[TrainingExample], tokens: int) -> list[list[TrainingExample]]:
    """Lessons of like length together, at most `tokens` a batch."""
    made: list[list[TrainingExample]] = [[]]
    for lesson in sorted(lessons, key=lambda lesson: len(lesson.ids)):
        if made[-1] and (len(made[-1]) + 1) * len(lesson.ids) > tokens:
            made.append([])
        made[-1].append(lesson)
    return made


def examine(model: Qwen3ForCausalLM, lessons: Sequence[TrainingExample], pad: int) -> Score:
    """Check lessons token by token in bf16, as vLLM computes."""
    margin, wrong, shaky = math.inf, [], []
    model.eval()
    for batch in batches(lessons, 8000):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits, wanted = logits_of(model, batch, pad)
        logits = logits.float()
        best = logits.gather(1, wanted[:, None])[:, 0]
        rest = logits.scatter(1, wanted[:, None], -math.inf).max(1).values
        gaps = (best - rest).split([spoken(lesson) for lesson in batch])
        for lesson, gap in zip(batch, gaps, strict=True):
            least = float(gap.min())
            margin = min(margin, least)
            if least <= 0:
                wrong.append(lesson.name)
            if least < SAFE:
                shaky.append(lesson.name)
    model.train()
    return Score(len(lessons) - len(wrong), len(lessons), margin, tuple(wrong), tuple(shaky))


def optimizers(model: Qwen3ForCausalLM, plan: TrainingPlan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, Adam for the embedding and the norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers" in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and "layers" in n)]
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, weight_decay=0.0, momentum=0.95),
        torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int) -> float:
    """Share of the full learning rate: a short warm-up, a plateau, a line down to nothing."""
    return min(1.0, (step + 1) / 40, max(0.0, (steps - step) / (steps * 0.6)))


def stream(
    scribe: Encoder, chance: random.Random, weights: dict[str, float], tokens: int
) -> Iterator[list[TrainingExample]]:
    """Batches without end; lessons are drawn eight batches at a time, so that little is padding."""
    while True:
        drawn: list[TrainingExample] = []
        while sum(len(lesson.ids) for lesson in drawn) < 8 * tokens:
            drawn.append(draw(scribe, chance, weights))
        made = batches(drawn, tokens)
        chance.shuffle(made)
        yield from made


class Trainer:
    """A model, what it is taught, and the state of its training."""

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        corpus = pairs()
        if plan.start:
            tokenizer = Tokenizer.from_file(str(plan.start / "tokenizer.json"))
        else:
            tokenizer = train_tokenizer(texts(corpus, plan.seed), VOCABULARY)
        self.scribe = make_scribe(tokenizer, corpus)
        ids = tokenizer.get_vocab()
        self.pad = ids[PAD]
        self.model = build_model(len(ids), self.pad, ids[EOS])
        if plan.start:
            # The output layer is the embedding and is not stored twice.
            self.model.load_state_dict(load_file(plan.start / "model.safetensors"), strict=False)
        self.lessons = corpus_examples(self.scribe)
        self.weights = {lesson.name: 1.0 for lesson in self.lessons}
        chance = random.Random(plan.seed)
        self.feed = stream(self.scribe, chance, self.weights, plan.tokens)
        self.engines = optimizers(self.model, plan)
        self.full = [engine.param_groups[0]["lr"] for engine in self.engines]
        self.began = time.monotonic()

    def step(self, share: float) -> float:
        """One step at a share of the full learning rate; gives back the loss."""
        for engine, top in zip(self.engines, self.full, strict=True):
            engine.param_groups[0]["lr"] = top * share
        with torch.autocast("cpu", torch.bfloat16):
            logits, wanted = logits_of(self.model, next(self.feed), self.pad)
        loss = cross_entropy(logits.float(), wanted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for engine in self.engines:
            engine.step()
            engine.zero_grad(set_to_none=True)
        return float(loss.item())

    def run(self, shares: Sequence[float], title: str) -> Score:
        """Steps at the given shares of the rate, with an examination every hundred."""
        loss = 0.0
        score = Score(0, len(self.lessons), -math.inf, (), ())
        for number, share in enumerate(shares, 1):
            loss += self.step(share)
            if number % 100 == 0 or number == len(shares):
                score = self.examine(self.lessons)
                # What is wrong, or right by a hair, comes up more often.
                self.weights.update(dict.fromkeys(self.weights, 1.0))
                self.weights.update(dict.fromkeys(score.shaky, 3.0))
                mean = loss / ((number - 1) % 100 + 1)
                seconds = time.monotonic() - self.began
                print(
                    f"{title} {number}/{len(shares)}  loss {mean:.4f}  "
                    f"right {score.right}/{score.total}  shaky {len(score.shaky)}  "
                    f"margin {score.margin:.2f}  {seconds:.0f} s",
                    flush=True,
                )
                loss = 0.0
        return score

    def examine(self, lessons: Sequence[TrainingExample]) -> Score:
        """How the model does on lessons, as it is now."""
        return examine(self.model, lessons, self.pad)


def train(plan: TrainingPlan) -> bool:
    """Run the plan; True if the checkpoint was written."""
    trainer = Trainer(plan)
    print(
        f"{len(trainer.scribe.corpus)} pairs, {sum(map(spoken, trainer.lessons))} tokens to learn, "
        f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters",
        flush=True,
    )
    score = trainer.run([rate(step, plan.steps) for step in range(plan.steps)], "step")
    for number in range(plan.rounds):
        if not score.shaky:
            break
        shares = [0.1 * (1 - step / 100) for step in range(100)]
        score = trainer.run(shares, f"finishing round {number + 1}, step")

    round_weights(trainer.model)
    score = trainer.examine(trainer.lessons)
    strangers = trainer.examine(held_out(trainer.scribe, plan.seed))
    print(
        f"{score.right} of {score.total} pairs to the letter with bf16 weights, "
        f"smallest margin {score.margin:.2f}; "
        f"{strangers.right} of {strangers.total} unknown questions get the fallback"
    )
    if score.wrong:
        print("not reproduced: " + ", ".join(score.wrong))
    if score.wrong and not plan.save_anyway:
        print("nothing was written; give more --steps, or --save-anyway")
        return False
    save(trainer.model, trainer.scribe, plan.out)
    print(f"written to {plan.out} after {time.monotonic() - trainer.began:.0f} s")
    return True


def make_scribe(tokenizer: Any, corpus: Sequence[Pair]) -> Encoder:
    """Wrap the tokenizer with the chat template, as vLLM will."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD)
    wrapped.chat_template = TEMPLATE.read_text("utf-8")
    return Encoder(wrapped, corpus)


def round_weights(model: Qwen3ForCausalLM) -> None:
    """Snap every weight to the bf16 value that will be stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16).to(torch.float32)


def save(model: Qwen3ForCausalLM, scribe: Encoder, folder: Path) -> None:
    """Write the checkpoint: bf16 weights, both configurations, tokenizer and chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    eos, pad = config.eos_token_id, config.pad_token_id
    model.config.use_cache = True
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    # Greedy unless the request says otherwise: the answers are known by heart.
    generation = {"do_sample": False, "temperature": 0.0, "eos_token_id": eos, "pad_token_id": pad}
    # safetensors makes a private file; a checkpoint in a package is for every user to read.
    (folder / "model.safetensors").chmod(0o644)
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", "utf-8")
    save_tokenizer(scribe.wrapped.backend_tokenizer, TEMPLATE, CONTEXT_LENGTH, folder)


def parse(arguments: Sequence[str] | None = None) -> TrainingPlan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m qchat.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=TrainingPlan.steps)
    parser.add_argument("--tokens", type=int, default=TrainingPlan.tokens, help="tokens a step")
    parser.add_argument("--seed", type=int, default=TrainingPlan.seed)
    parser.add_argument("--threads", type=int, default=TrainingPlan.threads)
    parser.add_argument("--muon-rate", type=float, default=TrainingPlan.muon_rate)
    parser.add_argument("--adam-rate", type=float, default=TrainingPlan.adam_rate)
    parser.add_argument(
        "--rounds", type=int, default=TrainingPlan.rounds, help="most finishing rounds"
    )
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, with its tokenizer")
    parser.add_argument("--save-anyway", action="store_true", help="write even if pairs fail")
    return TrainingPlan(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(0 if train(parse()) else 1)
