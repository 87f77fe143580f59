import torch
import torch.nn as nn


class Sorter(nn.Module):
    def __init__(self, words=1000, width=32, kinds=7):
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.rnn = nn.LSTM(width, 48, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * 48, kinds)

    def forward(self, tokens):
        x = self.table(tokens)
        _, (last, _) = self.rnn(x)
        both = last.transpose(0, 1).flatten(1)
        return self.head(both)


if __name__ == "__main__":
    print(Sorter()(torch.randint(1000, (2, 12))).shape)
