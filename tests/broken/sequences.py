"""Recurrent networks, attention and its masks, embeddings."""

from __future__ import annotations

from tests.broken.case import Case

CASES = (
    Case(
        name="lstm_of_another_input_size",
        source="""
        class SentimentLSTM(nn.Module):
            def __init__(self, vocab=50, emb_dim=16, hidden=24):
                super().__init__()
                self.embedding = nn.Embedding(vocab, emb_dim)
                self.lstm = nn.LSTM(hidden, hidden, num_layers=2, batch_first=True)
                self.fc = nn.Linear(hidden, 1)

            def forward(self, ids):
                embeds = self.embedding(ids)
                out, _ = self.lstm(embeds)
                return torch.sigmoid(self.fc(out[:, -1]))
        """,
        model="SentimentLSTM()",
        inputs="torch.randint(0, 50, (B, 9))",
        expression="self.lstm(embeds)",
        operands=("embeds: 4, 9, 16*",),
        module="lstm",
        root=(("constructor", "self.lstm = nn.LSTM(hidden, hidden"),),
        fixed=({"nn.LSTM(hidden, hidden": "nn.LSTM(emb_dim, hidden"},),
        tempting=({"self.embedding(ids)": "F.pad(self.embedding(ids), (0, 8))"},),
    ),
    Case(
        name="lstm_state_of_the_wrong_axis",
        source="""
        class StockLSTM(nn.Module):
            def __init__(self, input_dim=5, hidden_dim=12, num_layers=2):
                super(StockLSTM, self).__init__()
                self.hidden_dim = hidden_dim
                self.num_layers = num_layers
                self.lstm = nn.LSTM(input_dim, hidden_dim, num_layers, batch_first=True)
                self.fc = nn.Linear(hidden_dim, 1)

            def forward(self, x):
                h0 = torch.zeros(self.num_layers, x.size(1), self.hidden_dim)
                c0 = torch.zeros(self.num_layers, x.size(1), self.hidden_dim)
                out, (hn, cn) = self.lstm(x, (h0, c0))
                return self.fc(out[:, -1, :])
        """,
        model="StockLSTM()",
        inputs="torch.randn(B, 10, 5)",
        expression="self.lstm(x, (h0, c0))",
        operands=("x: 4*, 10, 5", "h0: 2, 10*, 12", "c0: 2, 10*, 12"),
        module="lstm",
        root=(("step", "h0 = torch.zeros(self.num_layers, x.size(1), self.hidden_dim)"),),
        fixed=(
            {
                "h0 = torch.zeros(self.num_layers, x.size(1)": (
                    "h0 = torch.zeros(self.num_layers, x.size(0)"
                ),
                "c0 = torch.zeros(self.num_layers, x.size(1)": (
                    "c0 = torch.zeros(self.num_layers, x.size(0)"
                ),
            },
        ),
        tempting=({"num_layers, batch_first=True": "num_layers"},),
    ),
    Case(
        name="bidirectional_state_of_one_direction",
        source="""
        class BiGRU(nn.Module):
            def __init__(self, inp=6, hid=8):
                super().__init__()
                self.hid = hid
                self.gru = nn.GRU(inp, hid, bidirectional=True, batch_first=True)
                self.out = nn.Linear(2 * hid, 3)

            def init_hidden(self, batch_size):
                return torch.zeros(1, batch_size, self.hid)

            def forward(self, x):
                y, _ = self.gru(x, self.init_hidden(x.size(0)))
                return self.out(y.mean(1))
        """,
        model="BiGRU()",
        inputs="torch.randn(B, 7, 6)",
        expression="self.gru(x, self.init_hidden(x.size(0)))",
        operands=("x: 4, 7, 6", "torch.zeros(1, batch_size, self.hid): 1*, 4, 8"),
        module="gru",
        root=(("step", "return torch.zeros(1, batch_size, self.hid)"),),
        fixed=({"torch.zeros(1, batch_size": "torch.zeros(2, batch_size"},),
        tempting=(
            {
                "bidirectional=True, ": "",
                "nn.Linear(2 * hid, 3)": "nn.Linear(hid, 3)",
            },
        ),
    ),
    Case(
        name="decoder_state_without_a_layer_axis",
        source="""
        class Decoder(nn.Module):
            def __init__(self, vocab=20, emb=6, hid=10):
                super().__init__()
                self.embedding = nn.Embedding(vocab, emb)
                self.gru = nn.GRU(emb, hid, batch_first=True)
                self.fc = nn.Linear(hid, vocab)

            def forward(self, tokens, hidden):
                emb = F.relu(self.embedding(tokens))
                output, hidden = self.gru(emb, hidden)
                return self.fc(output)


        class Captioner(nn.Module):
            def __init__(self):
                super().__init__()
                self.cnn = nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
                self.decoder = Decoder()

            def forward(self, image, tokens):
                features = self.cnn(image)
                return self.decoder(tokens, features)
        """,
        model="Captioner()",
        inputs="torch.randn(B, 3, 8, 8), torch.randint(0, 20, (B, 5))",
        expression="self.gru(emb, hidden)",
        operands=("emb: 4, 5, 6", "features: 4, 10"),
        module="decoder.gru",
        root=(
            ("step", "features = self.cnn(image)"),
            ("call", "return self.decoder(tokens, features)"),
        ),
        fixed=({"self.gru(emb, hidden)": "self.gru(emb, hidden.unsqueeze(0))"},),
    ),
    Case(
        name="lstm_result_used_as_a_tensor",
        source="""
        class Tagger(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = nn.LSTM(6, 8, batch_first=True)
                self.hidden2tag = nn.Linear(8, 4)

            def forward(self, sentence):
                lstm_out = self.lstm(sentence)
                tag_space = self.hidden2tag(lstm_out)
                return F.log_softmax(tag_space, dim=-1)
        """,
        model="Tagger()",
        inputs="torch.randn(B, 7, 6)",
        expression="self.hidden2tag(lstm_out)",
        operands=("lstm_out[0]: 4, 7, 8", "lstm_out[1][0]: 1, 4, 8", "lstm_out[1][1]: 1, 4, 8"),
        module="hidden2tag",
        root=(("step", "lstm_out = self.lstm(sentence)"),),
        fixed=({"lstm_out = self.lstm(sentence)": "lstm_out, _ = self.lstm(sentence)"},),
        tempting=({"self.hidden2tag(lstm_out)": "self.hidden2tag(lstm_out[1][0])"},),
    ),
    Case(
        name="lstm_in_a_sequential",
        source="""
        class Forecaster(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(
                    nn.LSTM(3, 8, batch_first=True),
                    nn.Linear(8, 1),
                )

            def forward(self, x):
                return self.net(x)
        """,
        model="Forecaster()",
        inputs="torch.randn(B, 7, 3)",
        expression="self.net(x)",
        operands=(),
        module="net.1",
        root=(("constructor", "nn.LSTM(3, 8, batch_first=True)"), ("step", "return self.net(x)")),
        fixed=({"return self.net(x)": "return self.net[1](self.net[0](x)[0])"},),
    ),
    Case(
        name="bidirectional_output_into_a_narrow_layer",
        source="""
        class NER(nn.Module):
            def __init__(self, vocab=30, emb=8, hidden=12, tags=5):
                super().__init__()
                self.embed = nn.Embedding(vocab, emb)
                self.rnn = nn.LSTM(emb, hidden, bidirectional=True, batch_first=True)
                self.dropout = nn.Dropout(0.5)
                self.fc = nn.Linear(hidden, tags)

            def forward(self, ids):
                x, _ = self.rnn(self.embed(ids))
                x = self.dropout(x)
                return self.fc(x)
        """,
        model="NER()",
        inputs="torch.randint(0, 30, (B, 6))",
        expression="self.fc(x)",
        operands=("x: 4, 6, 24*", "fc.weight: 5, 12*"),
        module="fc",
        root=(("constructor", "self.fc = nn.Linear(hidden, tags)"),),
        fixed=({"nn.Linear(hidden, tags)": "nn.Linear(hidden * 2, tags)"},),
        tempting=(
            {"self.fc(x)": "self.fc(x[..., :12])"},
            {"self.fc(x)": "self.fc(x[..., 12:])"},
        ),
    ),
    Case(
        name="both_directions_of_a_one_way_lstm",
        source="""
        class TextClassifier(nn.Module):
            def __init__(self, emb=8, hid=10):
                super().__init__()
                self.lstm = nn.LSTM(emb, hid, num_layers=1, batch_first=True)
                self.fc = nn.Linear(hid * 2, 3)

            def forward(self, x):
                _, (hidden, cell) = self.lstm(x)
                hidden = torch.cat((hidden[-2], hidden[-1]), dim=1)
                return self.fc(hidden)
        """,
        model="TextClassifier()",
        inputs="torch.randn(B, 7, 8)",
        expression="hidden[-2]",
        operands=("hidden: 1*, 4, 10",),
        root=(("constructor", "self.lstm = nn.LSTM(emb, hid, num_layers=1, batch_first=True)"),),
        fixed=({"hid, num_layers=1,": "hid, num_layers=1, bidirectional=True,"},),
        tempting=({"(hidden[-2], hidden[-1])": "(hidden[-1], hidden[-1])"},),
    ),
    Case(
        name="one_step_of_a_decoder_is_flat",
        source="""
        class StepDecoder(nn.Module):
            def __init__(self, vocab=15, emb=6, hid=9):
                super().__init__()
                self.embedding = nn.Embedding(vocab, emb)
                self.lstm = nn.LSTM(emb, hid, batch_first=True)
                self.fc = nn.Linear(hid, vocab)

            def forward(self, token, state):
                # token: (batch,)
                emb = self.embedding(token)
                out, state = self.lstm(emb, state)
                return self.fc(out.squeeze(1))
        """,
        model="StepDecoder()",
        inputs="torch.randint(0, 15, (B,)), (torch.zeros(1, B, 9), torch.zeros(1, B, 9))",
        expression="self.lstm(emb, state)",
        operands=("emb: 4, 6", "state[0]: 1, 4, 9", "state[1]: 1, 4, 9"),
        module="lstm",
        root=(("step", "emb = self.embedding(token)"), ("input", "")),
        fixed=({"emb = self.embedding(token)": "emb = self.embedding(token).unsqueeze(1)"},),
    ),
    Case(
        name="attention_that_reads_time_first",
        source="""
        class Encoder(nn.Module):
            def __init__(self, vocab=25, dim=16):
                super().__init__()
                self.embed = nn.Embedding(vocab, dim, padding_idx=0)
                self.attn = nn.MultiheadAttention(dim, 4)
                self.fc = nn.Linear(dim, 2)

            def forward(self, ids):
                pad = ids == 0
                x = self.embed(ids)
                x, _ = self.attn(x, x, x, key_padding_mask=pad)
                return self.fc(x.mean(dim=1))
        """,
        model="Encoder()",
        inputs="torch.randint(1, 25, (B, 9)) * (torch.arange(9) < 7)",
        expression="self.attn(x, x, x, key_padding_mask=pad)",
        operands=("x: 4, 9, 16", "pad: 4*, 9*"),
        module="attn",
        root=(("constructor", "self.attn = nn.MultiheadAttention(dim, 4)"),),
        fixed=(
            {"nn.MultiheadAttention(dim, 4)": "nn.MultiheadAttention(dim, 4, batch_first=True)"},
        ),
        tempting=({"key_padding_mask=pad": "key_padding_mask=pad.t()"},),
    ),
    Case(
        name="attention_of_another_width",
        source="""
        class Layer(nn.Module):
            def __init__(self, dim, heads):
                super().__init__()
                self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
                self.norm = nn.LayerNorm(dim)

            def forward(self, x):
                return self.norm(x + self.attn(x, x, x, need_weights=False)[0])


        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.proj = nn.Linear(5, 24)
                self.layers = nn.Sequential(Layer(32, 4), Layer(32, 4))

            def forward(self, x):
                return self.layers(self.proj(x))
        """,
        model="Model()",
        inputs="torch.randn(B, 6, 5)",
        expression="self.attn(x, x, x, need_weights=False)",
        operands=("self.proj(x): 4, 6, 24*",),
        module="layers.0.attn",
        root=(
            ("constructor", "self.proj = nn.Linear(5, 24)"),
            ("constructor", "self.layers = nn.Sequential(Layer(32, 4), Layer(32, 4))"),
            ("constructor", "self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)"),
        ),
        fixed=(
            {"nn.Linear(5, 24)": "nn.Linear(5, 32)"},
            {"Layer(32, 4), Layer(32, 4)": "Layer(24, 4), Layer(24, 4)"},
        ),
    ),
    Case(
        name="causal_mask_of_the_source_length",
        source="""
        class Translator(nn.Module):
            def __init__(self, vocab=20, dim=16):
                super().__init__()
                self.embed = nn.Embedding(vocab, dim)
                layer = nn.TransformerDecoderLayer(dim, 2, 32, batch_first=True)
                self.decoder = nn.TransformerDecoder(layer, 2)
                self.out = nn.Linear(dim, vocab)

            def forward(self, src, tgt):
                memory = self.embed(src)
                length = src.size(1)
                mask = torch.triu(torch.full((length, length), float("-inf")), diagonal=1)
                x = self.decoder(self.embed(tgt), memory, tgt_mask=mask)
                return self.out(x)
        """,
        model="Translator()",
        inputs="torch.randint(0, 20, (B, 12)), torch.randint(0, 20, (B, 7))",
        expression="self.decoder(self.embed(tgt), memory, tgt_mask=mask)",
        operands=("self.embed(tgt): 4, 7*, 16", "memory: 4, 12, 16", "mask: 12*, 12*"),
        module="decoder.layers.0.self_attn",
        root=(
            ("step", "length = src.size(1)"),
            ("step", "mask = torch.triu(torch.full((length, length)"),
        ),
        fixed=({"length = src.size(1)": "length = tgt.size(1)"},),
    ),
    Case(
        name="padding_mask_for_scaled_dot_product",
        source="""
        class Attn(nn.Module):
            def __init__(self, dim=16, heads=2):
                super().__init__()
                self.heads = heads
                self.qkv = nn.Linear(dim, 3 * dim, bias=False)

            def forward(self, x, valid):
                b, t, d = x.shape
                q, k, v = self.qkv(x).chunk(3, dim=-1)
                q = q.view(b, t, self.heads, -1).transpose(1, 2)
                k = k.view(b, t, self.heads, -1).transpose(1, 2)
                v = v.view(b, t, self.heads, -1).transpose(1, 2)
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=valid)
                return y.transpose(1, 2).reshape(b, t, d)


        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.attn = Attn()

            def forward(self, x, valid):
                return x + self.attn(x, valid)
        """,
        model="Block()",
        inputs="torch.randn(B, 10, 16), torch.arange(10) < torch.randint(3, 11, (B, 1))",
        expression="F.scaled_dot_product_attention(q, k, v, attn_mask=valid)",
        operands=(
            "q: 4, 2, 10*, 8",
            "k: 4, 2, 10, 8",
            "v: 4, 2, 10, 8",
            "valid: 4*, 10",
        ),
        module="attn",
        root=(("input", ""), ("call", "return x + self.attn(x, valid)")),
        fixed=({"attn_mask=valid": "attn_mask=valid[:, None, None, :]"},),
        tempting=(
            {"attn_mask=valid": "attn_mask=valid[:, None, :, None] | valid[:, None, None, :1]"},
        ),
    ),
    Case(
        name="cross_attention_of_unlike_widths",
        source="""
        class Perceiver(nn.Module):
            def __init__(self, latents=6, dim=16, data=24):
                super().__init__()
                self.latents = nn.Parameter(torch.randn(latents, dim))
                self.q = nn.Linear(dim, dim)
                self.k = nn.Linear(data, data)
                self.v = nn.Linear(data, dim)

            def forward(self, x):
                q = self.q(self.latents).expand(x.size(0), -1, -1)
                k, v = self.k(x), self.v(x)
                return F.scaled_dot_product_attention(q, k, v)
        """,
        model="Perceiver()",
        inputs="torch.randn(B, 11, 24)",
        expression="F.scaled_dot_product_attention(q, k, v)",
        operands=("q: 4, 6, 16*", "k: 4, 11, 24*", "v: 4, 11, 16"),
        root=(("constructor", "self.k = nn.Linear(data, data)"),),
        fixed=({"self.k = nn.Linear(data, data)": "self.k = nn.Linear(data, dim)"},),
        tempting=({"attention(q, k, v)": "attention(q, k[..., : q.size(-1)], v)"},),
    ),
    Case(
        name="decoder_without_its_memory",
        source="""
        class Seq2Seq(nn.Module):
            def __init__(self, dim=16):
                super().__init__()
                self.encoder = nn.TransformerEncoderLayer(dim, 2, 32, batch_first=True)
                self.decoder = nn.TransformerDecoderLayer(dim, 2, 32, batch_first=True)

            def forward(self, src, tgt):
                memory = self.encoder(src)
                return self.decoder(tgt)
        """,
        model="Seq2Seq()",
        inputs="torch.randn(B, 9, 16), torch.randn(B, 5, 16)",
        expression="self.decoder(tgt)",
        operands=("tgt: 4, 5, 16",),
        module="decoder",
        fixed=({"self.decoder(tgt)": "self.decoder(tgt, memory)"},),
        tempting=({"self.decoder(tgt)": "self.decoder(tgt, tgt)"},),
    ),
    Case(
        name="embedding_given_floats",
        source="""
        class Recommender(nn.Module):
            def __init__(self, users=12, items=9, dim=5):
                super().__init__()
                self.user = nn.Embedding(users, dim)
                self.item = nn.Embedding(items, dim)

            def forward(self, pairs):
                u = self.user(pairs[:, 0])
                i = self.item(pairs[:, 1])
                return (u * i).sum(-1)
        """,
        model="Recommender()",
        inputs="torch.randint(0, 9, (B, 2)).float()",
        expression="self.user(pairs[:, 0])",
        operands=("pairs[:, 0]: 4",),
        module="user",
        root=(("input", ""),),
        fixed=(
            {
                "self.user(pairs[:, 0])": "self.user(pairs[:, 0].long())",
                "self.item(pairs[:, 1])": "self.item(pairs[:, 1].long())",
            },
        ),
    ),
    Case(
        name="embedding_index_out_of_range",
        source="""
        class LM(nn.Module):
            def __init__(self, vocab_size=100, dim=8):
                super().__init__()
                self.tok = nn.Embedding(vocab_size, dim)
                self.rnn = nn.GRU(dim, dim, batch_first=True)
                self.head = nn.Linear(dim, vocab_size)

            def forward(self, ids):
                h, _ = self.rnn(self.tok(ids))
                return self.head(h)
        """,
        model="LM()",
        # Ids that count from one.
        inputs="torch.arange(1, 101).roll(5)[: 25 * B].view(B, -1)",
        expression="self.tok(ids)",
        operands=("ids: 4, 25", "tok.weight: 100*, 8"),
        module="tok",
        root=(
            ("constructor", "self.tok = nn.Embedding(vocab_size, dim)"),
            ("constructor", "vocab_size=100"),
            ("input", ""),
        ),
        fixed=(
            {"nn.Embedding(vocab_size, dim)": "nn.Embedding(101, dim)"},
            {"vocab_size=100": "vocab_size=101"},
        ),
        tempting=(
            {"self.tok(ids)": "self.tok(ids.clamp(max=99))"},
            {"self.tok(ids)": "self.tok(ids % 100)"},
        ),
    ),
    Case(
        name="more_positions_than_the_table_has",
        source="""
        class Embeddings(nn.Module):
            def __init__(self, vocab, dim, max_position=16):
                super().__init__()
                self.word = nn.Embedding(vocab, dim)
                self.position = nn.Embedding(max_position, dim)

            def forward(self, ids):
                positions = torch.arange(ids.size(1))
                return self.word(ids) + self.position(positions)


        class GPT(nn.Module):
            def __init__(self):
                super().__init__()
                self.embeddings = Embeddings(30, 12)
                self.head = nn.Linear(12, 30)

            def forward(self, ids):
                return self.head(self.embeddings(ids))
        """,
        model="GPT()",
        inputs="torch.randint(0, 30, (B, 20))",
        expression="self.position(positions)",
        operands=("positions: 20", "embeddings.position.weight: 16*, 12"),
        module="embeddings.position",
        root=(
            ("constructor", "max_position=16"),
            ("constructor", "self.position = nn.Embedding(max_position, dim)"),
            ("constructor", "self.embeddings = Embeddings(30, 12)"),
            ("input", ""),
        ),
        fixed=({"max_position=16": "max_position=20"},),
        tempting=({"self.position(positions)": "self.position(positions.clamp(max=15))"},),
    ),
)
