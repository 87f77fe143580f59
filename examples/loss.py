import torch
import torch.nn as nn
import torch.nn.functional as F


class LanguageModel(nn.Module):
    def __init__(self, words=50, width=24):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.mix = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, words)

    def forward(self, tokens, targets):
        h, _ = self.mix(self.embed(tokens))
        logits = self.head(h)
        return F.cross_entropy(logits, targets)


if __name__ == "__main__":
    print(LanguageModel()(torch.randint(50, (4, 12)), torch.randint(50, (4, 12))))
