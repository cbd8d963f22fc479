"""One pre-training step of a Llama model in PyTorch on the CPU: the peer of bench/pretrain.ts.

Same shape, optimizer and token count as the cria side; `--mode eager|compile`, `--dtype f32|bf16` (bf16 = autocast, master weights in
f32). Answers every line on stdin with one line of JSON: the seconds and the loss of one step. Without input it can be tried by hand:
`yes | head -3 | python torch_pretrain.py`.
"""
import argparse, json, sys, time
import torch
import torch.nn as nn
import torch.nn.functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rope(x, cos, sin):  # x [B, T, H, E], interleaved pairs
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).type_as(x)


class Block(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.h, self.kv, self.e = a.heads, a.kv_heads, a.dim // a.heads
        self.wq = nn.Linear(a.dim, self.h * self.e, bias=False)
        self.wk = nn.Linear(a.dim, self.kv * self.e, bias=False)
        self.wv = nn.Linear(a.dim, self.kv * self.e, bias=False)
        self.wo = nn.Linear(self.h * self.e, a.dim, bias=False)
        self.w1 = nn.Linear(a.dim, a.ffn, bias=False)
        self.w3 = nn.Linear(a.dim, a.ffn, bias=False)
        self.w2 = nn.Linear(a.ffn, a.dim, bias=False)
        self.attention_norm, self.ffn_norm = RMSNorm(a.dim), RMSNorm(a.dim)

    def forward(self, x, cos, sin):
        B, T, _ = x.shape
        n = self.attention_norm(x)
        q = rope(self.wq(n).view(B, T, self.h, self.e), cos, sin).transpose(1, 2)
        k = rope(self.wk(n).view(B, T, self.kv, self.e), cos, sin).transpose(1, 2)
        v = self.wv(n).view(B, T, self.kv, self.e).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.wo(y.transpose(1, 2).reshape(B, T, -1))
        n = self.ffn_norm(x)
        return x + self.w2(F.silu(self.w1(n)) * self.w3(n))


class Llama(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.tok_embeddings = nn.Embedding(a.vocab, a.dim)
        self.layers = nn.ModuleList(Block(a) for _ in range(a.layers))
        self.norm, self.output = RMSNorm(a.dim), nn.Linear(a.dim, a.vocab, bias=False)
        self.output.weight = self.tok_embeddings.weight
        e = a.dim // a.heads
        ang = torch.outer(torch.arange(a.seq).float(), 500000.0 ** (-torch.arange(0, e, 2).float() / e))
        self.register_buffer("cos", ang.cos()[:, None, :]), self.register_buffer("sin", ang.sin()[:, None, :])
        for p in self.parameters():
            if p.dim() == 2: nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.tok_embeddings(ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return F.cross_entropy(self.output(self.norm(x)).flatten(0, 1).float(), targets.flatten())


def main():
    p = argparse.ArgumentParser()
    for name, value in dict(dim=512, layers=8, heads=8, kv_heads=4, ffn=1536, vocab=8192, rows=8, seq=512, threads=2).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    p.add_argument("--mode", default="eager"), p.add_argument("--dtype", default="f32")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model = Llama(a)
    groups = [{"params": [q for q in model.parameters() if (q.dim() == 2) == decay], "weight_decay": 0.1 * decay} for decay in (True, False)]
    opt = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    loss_of = torch.compile(model) if a.mode == "compile" else model
    data = torch.randint(0, a.vocab, (a.rows, a.seq + 1))

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.dtype == "bf16"):
            loss = loss_of(data[:, :-1].contiguous(), data[:, 1:].contiguous())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return loss.item()

    for _ in sys.stdin:
        start, start_cpu = time.perf_counter(), time.process_time()
        loss = step()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
        print(json.dumps({"seconds": seconds, "cpuSeconds": cpu_seconds, "loss": loss}), flush=True)


main()
