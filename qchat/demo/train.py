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
from .training_examples import (
    Encoder,
    TrainingExample,
    corpus_examples,
    draw_example,
    held_out_examples,
    tokenizer_texts,
)
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
    """Teacher-forced greedy decoding: how many examples come out to the letter.

    `margin` is the smallest lead of a right token's logit over the next best; `shaky` names the
    examples with a lead below SAFE, the wrong ones among them.
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
    width = max(len(example.ids) for example in batch)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros((len(batch), width), dtype=torch.bool)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        for first, end in example.spans:
            mask[row, first:end] = True
    # Padding stands on the right, so the causal mask alone keeps it out of sight.
    hidden = model.model(input_ids=ids).last_hidden_state
    return model.lm_head(hidden[:, :-1][mask[:, 1:]]), ids[:, 1:][mask[:, 1:]]


def target_tokens(example: TrainingExample) -> int:
    """How many tokens of an example the loss covers."""
    return sum(end - first for first, end in example.spans)


def batches(examples: Sequence[TrainingExample], tokens: int) -> list[list[TrainingExample]]:
    """Examples of like length together, at most `tokens` a batch."""
    groups: list[list[TrainingExample]] = [[]]
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if groups[-1] and (len(groups[-1]) + 1) * len(example.ids) > tokens:
            groups.append([])
        groups[-1].append(example)
    return groups


def evaluate(model: Qwen3ForCausalLM, examples: Sequence[TrainingExample], pad: int) -> Score:
    """Check examples token by token in bf16, as vLLM computes."""
    margin, wrong, shaky = math.inf, [], []
    model.eval()
    for batch in batches(examples, 8000):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits, targets = logits_of(model, batch, pad)
        logits = logits.float()
        best = logits.gather(1, targets[:, None])[:, 0]
        rest = logits.scatter(1, targets[:, None], -math.inf).max(1).values
        gaps = (best - rest).split([target_tokens(example) for example in batch])
        for example, gap in zip(batch, gaps, strict=True):
            least = float(gap.min())
            margin = min(margin, least)
            if least <= 0:
                wrong.append(example.name)
            if least < SAFE:
                shaky.append(example.name)
    model.train()
    return Score(len(examples) - len(wrong), len(examples), margin, tuple(wrong), tuple(shaky))


def make_optimizers(model: Qwen3ForCausalLM, plan: TrainingPlan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, Adam for the embedding and the norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers" in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and "layers" in n)]
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, weight_decay=0.0, momentum=0.95),
        torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the full learning rate: a short warm-up, a plateau, a line down to nothing."""
    return min(1.0, (step + 1) / 40, max(0.0, (steps - step) / (steps * 0.6)))


def stream(
    encoder: Encoder, rng: random.Random, weights: dict[str, float], tokens: int
) -> Iterator[list[TrainingExample]]:
    """Endless batches; examples are drawn for eight batches at once, so that little is padding."""
    while True:
        drawn: list[TrainingExample] = []
        while sum(len(example.ids) for example in drawn) < 8 * tokens:
            drawn.append(draw_example(encoder, rng, weights))
        groups = batches(drawn, tokens)
        rng.shuffle(groups)
        yield from groups


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
            tokenizer = train_tokenizer(tokenizer_texts(corpus, plan.seed), VOCABULARY)
        self.encoder = make_encoder(tokenizer, corpus)
        ids = tokenizer.get_vocab()
        self.pad = ids[PAD]
        self.model = build_model(len(ids), self.pad, ids[EOS])
        if plan.start:
            # The output layer is the embedding and is not stored twice.
            self.model.load_state_dict(load_file(plan.start / "model.safetensors"), strict=False)
        self.examples = corpus_examples(self.encoder)
        self.weights = {example.name: 1.0 for example in self.examples}
        rng = random.Random(plan.seed)
        self.batches = stream(self.encoder, rng, self.weights, plan.tokens)
        self.optimizers = make_optimizers(self.model, plan)
        self.base_rates = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self.began = time.monotonic()

    def step(self, factor: float) -> float:
        """One step at a factor of the full learning rate; gives back the loss."""
        for optimizer, top in zip(self.optimizers, self.base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = top * factor
        with torch.autocast("cpu", torch.bfloat16):
            logits, targets = logits_of(self.model, next(self.batches), self.pad)
        loss = cross_entropy(logits.float(), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.item())

    def run(self, factors: Sequence[float], title: str) -> Score:
        """Steps at the given factors of the rate, with an examination every hundred."""
        loss = 0.0
        score = Score(0, len(self.examples), -math.inf, (), ())
        for number, factor in enumerate(factors, 1):
            loss += self.step(factor)
            if number % 100 == 0 or number == len(factors):
                score = self.evaluate(self.examples)
                # What is wrong, or right by a hair, comes up more often.
                self.weights.update(dict.fromkeys(self.weights, 1.0))
                self.weights.update(dict.fromkeys(score.shaky, 3.0))
                mean = loss / ((number - 1) % 100 + 1)
                seconds = time.monotonic() - self.began
                print(
                    f"{title} {number}/{len(factors)}  loss {mean:.4f}  "
                    f"right {score.right}/{score.total}  shaky {len(score.shaky)}  "
                    f"margin {score.margin:.2f}  {seconds:.0f} s",
                    flush=True,
                )
                loss = 0.0
        return score

    def evaluate(self, examples: Sequence[TrainingExample]) -> Score:
        """How the model does on examples, as it is now."""
        return evaluate(self.model, examples, self.pad)


def train(plan: TrainingPlan) -> bool:
    """Run the plan; True if the checkpoint was written."""
    trainer = Trainer(plan)
    print(
        f"{len(trainer.encoder.corpus)} pairs, "
        f"{sum(map(target_tokens, trainer.examples))} tokens to learn, "
        f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters",
        flush=True,
    )
    score = trainer.run(
        [learning_rate_factor(step, plan.steps) for step in range(plan.steps)], "step"
    )
    for number in range(plan.rounds):
        if not score.shaky:
            break
        factors = [0.1 * (1 - step / 100) for step in range(100)]
        score = trainer.run(factors, f"finishing round {number + 1}, step")

    round_weights(trainer.model)
    score = trainer.evaluate(trainer.examples)
    out_of_domain = trainer.evaluate(held_out_examples(trainer.encoder, plan.seed))
    print(
        f"{score.right} of {score.total} pairs to the letter with bf16 weights, "
        f"smallest margin {score.margin:.2f}; "
        f"{out_of_domain.right} of {out_of_domain.total} unknown questions get the fallback"
    )
    if score.wrong:
        print("not reproduced: " + ", ".join(score.wrong))
    if score.wrong and not plan.save_anyway:
        print("nothing was written; give more --steps, or --save-anyway")
        return False
    save(trainer.model, trainer.encoder, plan.out)
    print(f"written to {plan.out} after {time.monotonic() - trainer.began:.0f} s")
    return True


def make_encoder(tokenizer: Any, corpus: Sequence[Pair]) -> Encoder:
    """Wrap the tokenizer with the chat template, as vLLM will."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD)
    wrapped.chat_template = TEMPLATE.read_text("utf-8")
    return Encoder(wrapped, corpus)


def round_weights(model: Qwen3ForCausalLM) -> None:
    """Snap every weight to the bf16 value that will be stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16).to(torch.float32)


def save(model: Qwen3ForCausalLM, encoder: Encoder, folder: Path) -> None:
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
    save_tokenizer(encoder.wrapped.backend_tokenizer, TEMPLATE, CONTEXT_LENGTH, folder)


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
