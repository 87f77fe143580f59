import torch
import torch.nn as nn
import torch.nn.functional as F


class Captioner(nn.Module):
    """Starts a recurrent decoder from the vector of an image."""

    def __init__(self, words=100, width=32, image=64):
        super().__init__()
        self.start = nn.Linear(image, width)
        self.embed = nn.Embedding(words, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, words)

    def forward(self, features, words):
        state = torch.tanh(self.start(features))
        out, _ = self.rnn(self.embed(words), state)
        return self.head(out)


if __name__ == "__main__":
    print(Captioner()(torch.randn(4, 64), torch.randint(100, (4, 7))))
