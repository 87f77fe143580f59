import torch
import torch.nn as nn
import torch.nn.functional as F


class Sentiment(nn.Module):
    def __init__(self, words=200, width=16):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.head = nn.Linear(width, 2)

    def forward(self, review):
        words = self.embed(review)
        return self.head(words.mean(dim=1))


if __name__ == "__main__":
    print(Sentiment()(torch.randn(3, 20)))
