"""Models as people post them on forums: for each the expression, the operands, the root, and what
the sentences say."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import pytest
import torch
from torch import ones, rand, randint, randn, tensor

from tests.cells import run_cell
from tracer import trace


@dataclass(frozen=True)
class Case:
    """`inputs` is an expression; `operands` are the names of those that are no parameters; `root`
    is a kind and an expression, None where the failing line itself is to blame; `words` occur in
    the rule, the reason or the root's sentence."""

    name: str
    source: str
    inputs: str
    expression: str
    module: str
    operands: tuple[str, ...]
    root: tuple[str, str] | None
    words: tuple[str, ...]


NAMES = {
    "torch": torch,
    "ones": ones,
    "rand": rand,
    "randint": randint,
    "randn": randn,
    "tensor": tensor,
}

CASES = (
    Case(
        name="unet_on_an_odd_size",
        source="""
        class DoubleConv(nn.Module):
            def __init__(self, in_channels, out_channels):
                super().__init__()
                self.double_conv = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(inplace=True),
                )

            def forward(self, x):
                return self.double_conv(x)


        class Up(nn.Module):
            def __init__(self, in_channels, out_channels):
                super().__init__()
                self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
                self.conv = DoubleConv(in_channels, out_channels)

            def forward(self, x1, x2):
                x1 = self.up(x1)
                x = torch.cat([x2, x1], dim=1)
                return self.conv(x)


        class UNet(nn.Module):
            def __init__(self, n_channels=3, n_classes=2):
                super().__init__()
                self.inc = DoubleConv(n_channels, 8)
                self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 16))
                self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(16, 32))
                self.up1 = Up(32, 16)
                self.up2 = Up(16, 8)
                self.outc = nn.Conv2d(8, n_classes, 1)

            def forward(self, x):
                x1 = self.inc(x)
                x2 = self.down1(x1)
                x3 = self.down2(x2)
                x = self.up1(x3, x2)
                x = self.up2(x, x1)
                return self.outc(x)

        Net = UNet
        """,
        inputs="(randn(2, 3, 30, 30),)",
        expression="torch.cat([x2, x1], dim=1)",
        module="up1",
        operands=("x2", "x1"),
        root=("step", "self.down2(x2)"),
        words=("15 ≠ 14", "15 is odd"),
    ),
    Case(
        name="a_shortcut_that_does_not_stride",
        source="""
        class BasicBlock(nn.Module):
            def __init__(self, in_planes, planes, stride=1):
                super().__init__()
                self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
                self.bn1 = nn.BatchNorm2d(planes)
                self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
                self.bn2 = nn.BatchNorm2d(planes)
                self.shortcut = nn.Sequential()
                if in_planes != planes:
                    self.shortcut = nn.Sequential(
                        nn.Conv2d(in_planes, planes, 1, bias=False),
                        nn.BatchNorm2d(planes),
                    )

            def forward(self, x):
                out = F.relu(self.bn1(self.conv1(x)))
                out = self.bn2(self.conv2(out))
                out += self.shortcut(x)
                return F.relu(out)


        class ResNet(nn.Module):
            def __init__(self, num_classes=10):
                super().__init__()
                self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
                self.layer1 = nn.Sequential(BasicBlock(16, 16), BasicBlock(16, 16))
                self.layer2 = nn.Sequential(BasicBlock(16, 32, 2), BasicBlock(32, 32))
                self.linear = nn.Linear(32, num_classes)

            def forward(self, x):
                out = self.conv1(x)
                out = self.layer1(out)
                out = self.layer2(out)
                out = F.adaptive_avg_pool2d(out, 1).flatten(1)
                return self.linear(out)

        Net = ResNet
        """,
        inputs="(randn(2, 3, 16, 16),)",
        expression="out += self.shortcut(x)",
        module="layer2.0",
        operands=("out", "self.shortcut(x)"),
        root=("constructor", "nn.Conv2d(in_planes, planes, 1, bias=False)"),
        words=("8 ≠ 16", "layer2.0.shortcut.0 keeps 16", "layer2.0.conv1 makes 8"),
    ),
    Case(
        name="a_state_kept_in_an_attribute",
        source="""
        class LSTMClassifier(nn.Module):
            def __init__(
                self, vocab_size=50, embedding_dim=16, hidden_dim=32, label_size=3, batch_size=64
            ):
                super(LSTMClassifier, self).__init__()
                self.hidden_dim = hidden_dim
                self.batch_size = batch_size
                self.word_embeddings = nn.Embedding(vocab_size, embedding_dim)
                self.lstm = nn.LSTM(embedding_dim, hidden_dim)
                self.hidden2label = nn.Linear(hidden_dim, label_size)
                self.hidden = self.init_hidden()

            def init_hidden(self):
                h0 = torch.zeros(1, self.batch_size, self.hidden_dim)
                c0 = torch.zeros(1, self.batch_size, self.hidden_dim)
                return (h0, c0)

            def forward(self, sentence):
                embeds = self.word_embeddings(sentence)
                x = embeds.view(len(sentence), -1, 16)
                lstm_out, self.hidden = self.lstm(x, self.hidden)
                y = self.hidden2label(lstm_out[-1])
                return F.log_softmax(y, dim=1)

        Net = LSTMClassifier
        """,
        inputs="(randint(0, 50, (12, 10)),)",
        expression="self.lstm(x, self.hidden)",
        module="lstm",
        operands=("x", "self.hidden[0]", "self.hidden[1]"),
        root=("constructor", "self.init_hidden()"),
        words=("(1, 10, 32)", "self.hidden[0]", "for a batch of 64"),
    ),
    Case(
        name="a_repeat_along_the_batch",
        source="""
        class Attention(nn.Module):
            def __init__(self, enc_hid_dim=32, dec_hid_dim=32):
                super().__init__()
                self.attn = nn.Linear((enc_hid_dim * 2) + dec_hid_dim, dec_hid_dim)
                self.v = nn.Linear(dec_hid_dim, 1, bias=False)

            def forward(self, hidden, encoder_outputs):
                src_len = encoder_outputs.shape[1]
                hidden = hidden.unsqueeze(1).repeat(1, src_len, 1)
                encoder_outputs = encoder_outputs.permute(1, 0, 2)
                energy = torch.tanh(self.attn(torch.cat((hidden, encoder_outputs), dim=2)))
                attention = self.v(energy).squeeze(2)
                return F.softmax(attention, dim=1)


        class Seq2Seq(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = nn.GRU(8, 32, bidirectional=True)
                self.fc = nn.Linear(64, 32)
                self.attention = Attention()

            def forward(self, src):
                outputs, hidden = self.encoder(src)
                hidden = torch.tanh(self.fc(torch.cat((hidden[-2], hidden[-1]), dim=1)))
                return self.attention(hidden, outputs)

        Net = Seq2Seq
        """,
        inputs="(randn(9, 4, 8),)",
        expression="torch.cat((hidden, encoder_outputs), dim=2)",
        module="attention",
        operands=("hidden", "encoder_outputs"),
        root=("step", "hidden.unsqueeze(1).repeat(1, src_len, 1)"),
        words=("4 ≠ 9",),
    ),
    Case(
        name="the_layer_that_a_transformer_encoder_copies",
        source="""
        class TransformerClassifier(nn.Module):
            def __init__(self, vocab=100, d_model=32, nhead=4, num_classes=2):
                super().__init__()
                self.embedding = nn.Embedding(vocab, d_model)
                layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=64)
                self.encoder = nn.TransformerEncoder(layer, num_layers=2)
                self.fc = nn.Linear(d_model, num_classes)

            def forward(self, tokens):
                pad_mask = tokens == 0
                x = self.embedding(tokens)
                x = self.encoder(x, src_key_padding_mask=pad_mask)
                return self.fc(x.mean(dim=1))

        Net = TransformerClassifier
        """,
        inputs="(randint(1, 100, (6, 15)),)",
        expression="self.encoder(x, src_key_padding_mask=pad_mask)",
        module="encoder.layers.0.self_attn",
        operands=("x", "pad_mask"),
        root=("constructor", "nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=64)"),
        words=("(15, 6)", "batch_first=False"),
    ),
    Case(
        name="a_sequence_longer_than_the_table",
        source="""
        import math

        class PositionalEncoding(nn.Module):
            def __init__(self, d_model, max_len=50):
                super().__init__()
                position = torch.arange(max_len).unsqueeze(1)
                div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
                pe = torch.zeros(max_len, 1, d_model)
                pe[:, 0, 0::2] = torch.sin(position * div_term)
                pe[:, 0, 1::2] = torch.cos(position * div_term)
                self.register_buffer("pe", pe)

            def forward(self, x):
                x = x + self.pe[:x.size(0)]
                return x


        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Linear(7, 32)
                self.pos_encoder = PositionalEncoding(32)
                self.out = nn.Linear(32, 1)

            def forward(self, src):
                x = self.embedding(src)
                x = self.pos_encoder(x)
                return self.out(x)

        Net = Model
        """,
        inputs="(randn(120, 4, 7),)",
        expression="x + self.pe[:x.size(0)]",
        module="pos_encoder",
        operands=("x", "self.pe[:x.size(0)]"),
        root=("constructor", "pe"),
        words=("120 ≠ 50", "50 rows", "asks for 120"),
    ),
    Case(
        name="ctc_with_the_batch_first",
        source="""
        class SpeechModel(nn.Module):
            def __init__(self, n_mels=40, n_class=29):
                super().__init__()
                self.rnn = nn.GRU(n_mels, 64, batch_first=True, bidirectional=True)
                self.fc = nn.Linear(128, n_class)
                self.ctc = nn.CTCLoss(blank=28)

            def forward(self, spec, targets, input_lengths, target_lengths):
                x, _ = self.rnn(spec)
                log_probs = F.log_softmax(self.fc(x), dim=2)
                return self.ctc(log_probs, targets, input_lengths, target_lengths)

        Net = SpeechModel
        """,
        inputs="(randn(4, 50, 40), randint(0, 28, (4, 10)), tensor([50] * 4), tensor([10] * 4))",
        expression="self.ctc(log_probs, targets, input_lengths, target_lengths)",
        module="ctc",
        operands=("log_probs", "targets", "input_lengths", "target_lengths"),
        root=None,
        words=("(T, N, C)", "50 ≠ 4", "transpose(0, 1)"),
    ),
    Case(
        name="a_head_that_counts_otherwise_than_the_view",
        source="""
        class YOLOHead(nn.Module):
            def __init__(self, in_channels=64, num_classes=20, num_anchors=3):
                super().__init__()
                self.num_classes = num_classes
                self.num_anchors = num_anchors
                self.block = nn.Sequential(
                    nn.Conv2d(in_channels, 128, 3, padding=1), nn.LeakyReLU(0.1)
                )
                self.pred = nn.Conv2d(128, num_anchors * (num_classes + 4), 1)

            def forward(self, x):
                out = self.pred(self.block(x))
                b, _, h, w = out.shape
                out = out.view(b, self.num_anchors, self.num_classes + 5, h, w)
                return out.permute(0, 1, 3, 4, 2)

        Net = YOLOHead
        """,
        inputs="(randn(2, 64, 13, 13),)",
        expression="out.view(b, self.num_anchors, self.num_classes + 5, h, w)",
        module="",
        operands=("out",),
        root=("constructor", "nn.Conv2d(128, num_anchors * (num_classes + 4), 1)"),
        words=("has 72", "3·25 = 75", "gives 72"),
    ),
    Case(
        name="an_own_layer_built_for_another_size",
        source="""
        class GraphConvolution(nn.Module):
            def __init__(self, in_features, out_features):
                super().__init__()
                self.weight = nn.Parameter(torch.randn(in_features, out_features) * 0.1)
                self.bias = nn.Parameter(torch.zeros(out_features))

            def forward(self, input, adj):
                support = torch.mm(input, self.weight)
                output = torch.spmm(adj, support)
                return output + self.bias


        class GCN(nn.Module):
            def __init__(self, nfeat=16, nhid=8, nclass=3):
                super().__init__()
                self.gc1 = GraphConvolution(nfeat, nhid)
                self.gc2 = GraphConvolution(nfeat, nclass)

            def forward(self, x, adj):
                x = F.relu(self.gc1(x, adj))
                x = self.gc2(x, adj)
                return F.log_softmax(x, dim=1)

        Net = GCN
        """,
        inputs="(randn(30, 16), rand(30, 30))",
        expression="torch.mm(input, self.weight)",
        module="gc2",
        operands=("x", "gc2.weight"),
        root=("constructor", "GraphConvolution(nfeat, nclass)"),
        words=("8 ≠ 16", "in_features=nfeat"),
    ),
    Case(
        name="letters_in_another_order_than_the_sizes",
        source="""
        class Attention(nn.Module):
            def __init__(self, embed_size=64, heads=4):
                super().__init__()
                self.heads = heads
                self.head_dim = embed_size // heads
                self.values = nn.Linear(embed_size, embed_size)
                self.keys = nn.Linear(embed_size, embed_size)
                self.queries = nn.Linear(embed_size, embed_size)
                self.fc_out = nn.Linear(embed_size, embed_size)

            def forward(self, values, keys, query):
                N = query.shape[0]
                value_len, key_len, query_len = values.shape[1], keys.shape[1], query.shape[1]
                values = self.values(values).reshape(N, value_len, self.heads, self.head_dim)
                keys = self.keys(keys).reshape(N, key_len, self.heads, self.head_dim)
                queries = self.queries(query).reshape(N, query_len, self.heads, self.head_dim)
                energy = torch.einsum("nqhd,nkhd->nhqk", [queries, keys])
                attention = torch.softmax(energy / self.head_dim ** 0.5, dim=3)
                out = torch.einsum("nhqk,nhkd->nqhd", [attention, values])
                return self.fc_out(out.reshape(N, query_len, -1))

        Net = Attention
        """,
        inputs="(randn(2, 7, 64), randn(2, 7, 64), randn(2, 5, 64))",
        expression='torch.einsum("nhqk,nhkd->nqhd", [attention, values])',
        module="",
        operands=("attention", "values"),
        root=None,
        words=("the letter h", "4 ≠ 7"),
    ),
    Case(
        name="a_squeeze_that_dropped_a_batch_of_one",
        source="""
        class Critic(nn.Module):
            def __init__(self, obs=6):
                super().__init__()
                self.lstm = nn.LSTM(obs, 16, batch_first=True)
                self.attn = nn.Linear(16, 1)
                self.v = nn.Linear(16, 1)

            def forward(self, obs):
                h, _ = self.lstm(obs)
                scores = self.attn(h).squeeze()
                w = torch.softmax(scores, dim=1).unsqueeze(-1)
                ctx = (w * h).sum(1)
                return self.v(ctx)

        Net = Critic
        """,
        inputs="(randn(1, 12, 6),)",
        expression="torch.softmax(scores, dim=1)",
        module="",
        operands=("scores",),
        root=("step", "self.attn(h).squeeze()"),
        words=("dimension 1", "(12,)", "(1, 12, 1) became (12,)"),
    ),
    Case(
        name="values_and_indices_in_a_cat",
        source="""
        class SpatialAttention(nn.Module):
            def __init__(self, kernel_size=7):
                super().__init__()
                self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

            def forward(self, x):
                avg_out = torch.mean(x, dim=1, keepdim=True)
                max_out = torch.max(x, dim=1, keepdim=True)
                y = torch.cat([avg_out, max_out], dim=1)
                return x * torch.sigmoid(self.conv(y))


        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(3, 8, 3)
                self.sa = SpatialAttention()

            def forward(self, x):
                return self.sa(self.conv(x))
        """,
        inputs="(randn(2, 3, 12, 12),)",
        expression="torch.cat([avg_out, max_out], dim=1)",
        module="sa",
        operands=("avg_out", "max_out[0]", "max_out[1]"),
        root=("step", "torch.max(x, dim=1, keepdim=True)"),
        words=("`max_out`", "(values, indices)"),
    ),
    Case(
        name="numbers_from_numpy",
        source="""
        import numpy as np

        class Policy(nn.Module):
            def __init__(self, state_size=4, action_size=2):
                super().__init__()
                self.affine1 = nn.Linear(state_size, 128)
                self.affine2 = nn.Linear(128, action_size)

            def forward(self, state):
                state = torch.from_numpy(np.asarray(state)).unsqueeze(0)
                x = F.relu(self.affine1(state))
                return F.softmax(self.affine2(x), dim=1)

        Net = Policy
        """,
        inputs="([0.1, 0.2, 0.3, 0.4],)",
        expression="self.affine1(state)",
        module="affine1",
        operands=("state",),
        root=("step", "torch.from_numpy(np.asarray(state)).unsqueeze(0)"),
        words=("float64", "from the start"),
    ),
    Case(
        name="class_numbers_as_floats",
        source="""
        class IrisNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc1 = nn.Linear(4, 16)
                self.fc2 = nn.Linear(16, 3)
                self.criterion = nn.CrossEntropyLoss()

            def forward(self, X, y):
                out = self.fc2(F.relu(self.fc1(X)))
                return self.criterion(out, y)

        Net = IrisNet
        """,
        inputs="(randn(10, 4), tensor([0., 1., 2., 0., 1., 2., 0., 1., 2., 0.]))",
        expression="self.criterion(out, y)",
        module="criterion",
        operands=("out", "y"),
        root=("input", "y"),
        words=("y is float32", "`.long()`"),
    ),
    Case(
        name="a_flattened_reconstruction_against_pictures",
        source="""
        class ConvVAE(nn.Module):
            def __init__(self, z=16):
                super().__init__()
                self.enc = nn.Linear(28 * 28, 64)
                self.mu = nn.Linear(64, z)
                self.logvar = nn.Linear(64, z)
                self.dec = nn.Sequential(
                    nn.Linear(z, 64), nn.ReLU(), nn.Linear(64, 28 * 28), nn.Sigmoid()
                )

            def forward(self, x):
                h = F.relu(self.enc(x.view(x.size(0), -1)))
                mu, logvar = self.mu(h), self.logvar(h)
                recon = self.dec(mu)
                bce = F.binary_cross_entropy(recon, x, reduction="sum")
                kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
                return bce + kld

        Net = ConvVAE
        """,
        inputs="(rand(8, 1, 28, 28),)",
        expression='F.binary_cross_entropy(recon, x, reduction="sum")',
        module="",
        operands=("recon", "x"),
        root=None,
        words=("784 numbers for each sample", "flattened"),
    ),
    Case(
        name="a_map_into_a_linear_layer_of_a_sequential",
        source="""
        def make_model(n_out=10):
            return nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(8, 16, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Linear(16 * 7 * 7, 64),
                nn.ReLU(),
                nn.Linear(64, n_out),
            )


        class Classifier(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = make_model()

            def forward(self, x):
                return self.net(x)

        Net = Classifier
        """,
        inputs="(randn(4, 1, 28, 28),)",
        expression="self.net(x)",
        module="net.6",
        operands=("self.net(x)",),
        root=None,
        words=("net.6", "what net.5 gives", "a flatten is missing"),
    ),
    Case(
        name="a_decoder_that_misses_a_size",
        source="""
        class ConvAE(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = nn.Sequential(
                    nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
                    nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
                    nn.Conv2d(32, 64, 7),
                )
                self.decoder = nn.Sequential(
                    nn.ConvTranspose2d(64, 32, 7), nn.ReLU(),
                    nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1), nn.ReLU(),
                    nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
                    nn.Sigmoid(),
                )

            def forward(self, x):
                recon = self.decoder(self.encoder(x))
                return F.mse_loss(recon, x)

        Net = ConvAE
        """,
        inputs="(rand(4, 1, 28, 28),)",
        expression="F.mse_loss(recon, x)",
        module="",
        operands=("recon", "x"),
        root=("constructor", "nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1)"),
        words=("26 ≠ 28", "7 becomes 13"),
    ),
    Case(
        name="tokens_into_a_recurrent_layer",
        source="""
        class CharRNN(nn.Module):
            def __init__(self, n_chars=27, hidden=32):
                super().__init__()
                self.n_chars = n_chars
                self.rnn = nn.GRU(n_chars, hidden)
                self.fc = nn.Linear(hidden, n_chars)

            def forward(self, chars, h=None):
                out, h = self.rnn(chars, h)
                return self.fc(out), h

        Net = CharRNN
        """,
        inputs="(randint(0, 27, (12, 4)).float(),)",
        expression="self.rnn(chars, h)",
        module="rnn",
        operands=("chars",),
        root=("input", "chars"),
        words=("27 features", "F.one_hot", "tokens"),
    ),
    Case(
        name="a_cat_of_turned_parts",
        source="""
        class CoordAtt(nn.Module):
            def __init__(self, ch=16, red=4):
                super().__init__()
                self.pool_h = nn.AdaptiveAvgPool2d((None, 1))
                self.pool_w = nn.AdaptiveAvgPool2d((1, None))
                self.conv1 = nn.Conv2d(ch, ch // red, 1)
                self.conv_h = nn.Conv2d(ch // red, ch, 1)
                self.conv_w = nn.Conv2d(ch // red, ch, 1)

            def forward(self, x):
                n, c, h, w = x.size()
                x_h = self.pool_h(x)
                x_w = self.pool_w(x)
                y = torch.cat([x_h, x_w], dim=2)
                y = F.relu(self.conv1(y))
                x_h, x_w = torch.split(y, [h, w], dim=2)
                x_w = x_w.permute(0, 1, 3, 2)
                return x * self.conv_h(x_h).sigmoid() * self.conv_w(x_w).sigmoid()

        Net = CoordAtt
        """,
        inputs="(randn(2, 16, 12, 20),)",
        expression="torch.cat([x_h, x_w], dim=2)",
        module="",
        operands=("x_h", "x_w"),
        root=None,
        words=("1 ≠ 20", "(2, 16, 20, 1), which fits"),
    ),
    Case(
        name="a_cat_along_the_batch",
        source="""
        class Critic(nn.Module):
            def __init__(self, state_dim=8, action_dim=2):
                super().__init__()
                self.l1 = nn.Linear(state_dim + action_dim, 64)
                self.l2 = nn.Linear(64, 1)

            def forward(self, state, action):
                q = F.relu(self.l1(torch.cat([state, action], 0)))
                return self.l2(q)

        Net = Critic
        """,
        inputs="(randn(16, 8), randn(16, 2))",
        expression="torch.cat([state, action], 0)",
        module="",
        operands=("state", "action"),
        root=None,
        words=("8 ≠ 2", "differ in dimension 1 alone"),
    ),
    Case(
        name="a_target_without_the_channel",
        source="""
        class LesionNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(
                    nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)
                )
                self.crit = nn.BCEWithLogitsLoss()

            def forward(self, img, mask):
                pred = self.body(img)
                return self.crit(pred, mask.float())

        Net = LesionNet
        """,
        inputs="(randn(4, 3, 24, 24), randint(0, 2, (4, 24, 24)))",
        expression="self.crit(pred, mask.float())",
        module="crit",
        operands=("pred", "mask.float()"),
        root=("input", "mask"),
        words=(".unsqueeze(1)",),
    ),
    Case(
        name="a_state_of_two_directions",
        source="""
        class Encoder(nn.Module):
            def __init__(self, vocab=30, emb=16, hid=32):
                super().__init__()
                self.embedding = nn.Embedding(vocab, emb)
                self.rnn = nn.LSTM(emb, hid, bidirectional=True, batch_first=True)

            def forward(self, src):
                _, (h, c) = self.rnn(self.embedding(src))
                return h, c


        class Decoder(nn.Module):
            def __init__(self, vocab=30, emb=16, hid=32):
                super().__init__()
                self.embedding = nn.Embedding(vocab, emb)
                self.rnn = nn.LSTM(emb, hid, batch_first=True)
                self.out = nn.Linear(hid, vocab)

            def forward(self, tgt, state):
                o, state = self.rnn(self.embedding(tgt), state)
                return self.out(o)


        class Seq2Seq(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = Encoder()
                self.decoder = Decoder()

            def forward(self, src, tgt):
                state = self.encoder(src)
                return self.decoder(tgt, state)

        Net = Seq2Seq
        """,
        inputs="(randint(0, 30, (4, 9)), randint(0, 30, (4, 7)))",
        expression="self.rnn(self.embedding(tgt), state)",
        module="decoder.rnn",
        operands=("self.embedding(tgt)", "h", "c"),
        root=("constructor", "nn.LSTM(emb, hid, bidirectional=True, batch_first=True)"),
        words=("(1, 4, 32)", "layers times directions", "gives 2"),
    ),
    Case(
        name="a_norm_of_another_rank_behind_a_linear_layer",
        source="""
        class FlatNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(1, 8, 3, padding=1)
                self.fc = nn.Linear(8 * 14 * 14, 32)
                self.bn = nn.BatchNorm2d(32)
                self.out = nn.Linear(32, 10)

            def forward(self, x):
                x = F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1)
                x = F.relu(self.bn(self.fc(x)))
                return self.out(x)

        Net = FlatNet
        """,
        inputs="(randn(4, 1, 28, 28),)",
        expression="self.bn(self.fc(x))",
        module="bn",
        operands=("self.fc(x)",),
        root=("constructor", "nn.BatchNorm2d(32)"),
        words=("nn.BatchNorm1d", "has 2 dimensions"),
    ),
    Case(
        name="one_hot_into_a_convolution",
        source="""
        class CharCNN(nn.Module):
            def __init__(self, alphabet=70):
                super().__init__()
                self.alphabet = alphabet
                self.conv = nn.Conv1d(alphabet, 32, 7)
                self.fc = nn.Linear(32, 4)

            def forward(self, chars):
                x = F.one_hot(chars, self.alphabet).transpose(1, 2)
                x = F.relu(self.conv(x)).amax(2)
                return self.fc(x)

        Net = CharCNN
        """,
        inputs="(randint(0, 70, (3, 30)),)",
        expression="self.conv(x)",
        module="conv",
        operands=("x",),
        root=("step", "F.one_hot(chars, self.alphabet)"),
        words=("int64", "one_hot gives whole numbers"),
    ),
    Case(
        name="a_table_of_half_the_width",
        source="""
        class RotaryAttention(nn.Module):
            def __init__(self, dim=32, heads=4, max_len=64):
                super().__init__()
                self.heads = heads
                self.qkv = nn.Linear(dim, 3 * dim)
                inv = 1.0 / 10000 ** (torch.arange(0, dim // heads, 2).float() / (dim // heads))
                self.register_buffer("cos", torch.outer(torch.arange(max_len).float(), inv).cos())

            def forward(self, x):
                B, T, C = x.shape
                q, k, v = self.qkv(x).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
                q = q * self.cos[:T]
                return F.scaled_dot_product_attention(q, k, v)

        Net = RotaryAttention
        """,
        inputs="(randn(2, 10, 32),)",
        expression="q * self.cos[:T]",
        module="",
        operands=("q", "self.cos[:T]"),
        root=("constructor", "torch.outer(torch.arange(max_len).float(), inv).cos()"),
        words=("8 ≠ 4", "cos is made with (64, 4)"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_posted_model(case: Case) -> None:
    torch.default_generator.manual_seed(0)
    net = run_cell(textwrap.dedent(case.source))["Net"]
    failure = trace(net(), *eval(case.inputs, NAMES), mend=False).failure
    assert failure is not None
    assert " ".join(failure.expression.split()) == case.expression
    assert failure.module == case.module
    spoken = tuple(
        operand.note.name or operand.expression
        for operand in failure.operands
        if operand.note.kind not in ("parameter", "buffer") or operand.note.name in case.operands
    )
    assert spoken[: len(case.operands)] == case.operands
    root = failure.root
    assert (root and (root.kind, root.expression)) == case.root, root
    said = " ".join([failure.rule, failure.reason, root.why if root is not None else ""])
    for word in case.words:
        assert word in said, said
