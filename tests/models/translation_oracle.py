"""SPADE and Pix2PixHD as compositions of Paddle's own operators on one-hot planes.

Written layer by layer from the papers' appendices, on the weights of pygan's networks by name;
nothing is shared between norms, nothing is folded, and label maps are dense.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F


def dense(labels, count, extra=None):
    """One-hot planes [N, L, H, W] and the maps beside them."""
    ids = labels.numpy()
    planes = (ids[:, None] == np.arange(count)[None, :, None, None]).astype("float64")
    planes = paddle.to_tensor(planes)
    return planes if extra is None else paddle.concat([planes, extra], axis=1)


def nearest(x, size):
    """As ``torch.nn.functional.interpolate(mode='nearest')``, in numpy."""
    array = x.numpy()
    rows = np.floor(np.arange(size[0]) * array.shape[2] / size[0]).astype(int)
    columns = np.floor(np.arange(size[1]) * array.shape[3] / size[1]).astype(int)
    return paddle.to_tensor(array[:, :, rows][:, :, :, columns])


def pool(x):
    return F.avg_pool2d(x, 3, stride=2, padding=1, exclusive=True)


def instance_norm(x):
    return F.instance_norm(x, eps=1e-5)


def batch_norm(x):
    mean = x.mean([0, 2, 3], keepdim=True)
    variance = ((x - mean) ** 2).mean([0, 2, 3], keepdim=True)
    return (x - mean) / paddle.sqrt(variance + 1e-5)


def lrelu(x):
    return F.leaky_relu(x, 0.2)


class Weights:
    """The tensors of a network under a prefix."""

    def __init__(self, state, prefix=""):
        self.state, self.prefix = state, prefix

    def __getitem__(self, name):
        return Weights(self.state, f"{self.prefix}{name}.")

    def __getattr__(self, name):
        return self.state.get(self.prefix + name)

    def conv(self, x, stride=1, padding=0, reflect=0):
        if reflect:
            x = F.pad(x, [reflect] * 4, mode="reflect")
        weight = self.weight
        if weight is None:
            array = self.weight_orig.numpy()
            rows = array.reshape(len(array), -1)
            sigma = self.weight_u.numpy() @ rows @ self.weight_v.numpy()
            weight = paddle.to_tensor(array / sigma)
        return F.conv2d(x, weight, self.bias, stride=stride, padding=padding)

    def conv_transpose(self, x):
        return F.conv2d_transpose(x, self.weight, self.bias, stride=2, padding=1, output_padding=1)


def weights(network):
    return Weights(network.state_dict())


# SPADE ----------------------------------------------------------------------------------------


def spade(w, x, mask, norm=batch_norm):
    mask = nearest(mask, x.shape[2:])
    features = F.relu(w["shared"].conv(mask, padding=1))
    gamma, beta = paddle.split(w["gamma_beta"].conv(features, padding=1), 2, axis=1)
    return norm(x) * (1 + gamma) + beta


def spade_block(w, x, mask, norm=batch_norm):
    y = w["conv_0"].conv(lrelu(spade(w["norm_0"], x, mask, norm)), padding=1)
    y = w["conv_1"].conv(lrelu(spade(w["norm_1"], y, mask, norm)), padding=1)
    if w["conv_s"].weight_orig is not None:
        x = w["conv_s"].conv(spade(w["norm_s"], x, mask, norm))
    return x + y


def up(x):
    return paddle.repeat_interleave(paddle.repeat_interleave(x, 2, axis=2), 2, axis=3)


def spade_generator(network, mask, z=None, norm=batch_norm):
    w = weights(network)
    if z is None:
        x = w["fc"].conv(nearest(mask, network.start), padding=1)
    else:
        x = (paddle.matmul(z, w["fc"].weight) + w["fc"].bias).reshape([len(z), -1, *network.start])
    x = spade_block(w["head_0"], x, mask, norm)
    x = spade_block(w["mid_0"], up(x), mask, norm)
    if network.layers != "normal":
        x = up(x)
    x = spade_block(w["mid_1"], x, mask, norm)
    for i in range(5 if network.layers == "most" else 4):
        x = spade_block(w[f"up_{i}"], up(x), mask, norm)
    return paddle.tanh(w["image"].conv(lrelu(x), padding=1))


def style_encoder(network, images):
    w = weights(network)
    x = images
    for i in range(len(network.convs)):
        x = lrelu(instance_norm(w["convs"][i][0].conv(x, stride=2, padding=1)))
    x = x.reshape([len(x), -1])
    return tuple(paddle.matmul(x, w[n].weight) + w[n].bias for n in ("fc_mu", "fc_var"))


# Discriminator --------------------------------------------------------------------------------


def discriminator(network, x):
    """Of dense input [N, L + E, H, W]."""
    found = []
    for i, scale in enumerate(network.scales):
        w = weights(network)["scales"][i]
        halvings = len(scale.middle)
        layers = [lrelu(w["first"].conv(x, stride=2, padding=2))]
        for k in range(halvings):
            stride = 1 if k == halvings - 1 else 2
            y = w["middle"][k][0].conv(layers[-1], stride=stride, padding=2)
            layers.append(lrelu(instance_norm(y)))
        layers.append(w["last"].conv(layers[-1], padding=2))
        found.append(layers)
        x = pool(x)
    return found


# Pix2PixHD ------------------------------------------------------------------------------------


def _stem(w, x, downs):
    x = F.relu(instance_norm(w["first"].conv(x, reflect=3)))
    for i in range(downs):
        x = F.relu(instance_norm(w["downs"][i][0].conv(x, stride=2, padding=1)))
    return x


def _residual(w, x, blocks):
    for i in range(blocks):
        y = F.relu(instance_norm(w[i]["conv_0"].conv(x, reflect=1)))
        x = x + instance_norm(w[i]["conv_1"].conv(y, reflect=1))
    return x


def _head(w, x, ups):
    for i in range(ups):
        x = F.relu(instance_norm(w[i][0].conv_transpose(x)))
    return x


def global_generator(network, x, w=None):
    w = w or weights(network)
    downs = len(network.head)
    x = _residual(w["blocks"], _stem(w["stem"], x, downs), len(network.blocks))
    x = _head(w["head"], x, downs)
    return x if network.image is None else paddle.tanh(w["image"].conv(x, reflect=3))


def local_enhancer(network, x):
    w = weights(network)
    pyramid = [x]
    for _ in network.enhancers:
        pyramid.append(pool(pyramid[-1]))
    y = global_generator(network.coarse, pyramid.pop(), w["coarse"])
    for i, enhancer in enumerate(network.enhancers):
        part = w["enhancers"][i]
        y = y + _stem(part["stem"], pyramid.pop(), 1)
        y = _residual(part["blocks"], y, len(enhancer.blocks))
        y = _head(part["head"], y, 1)
    return paddle.tanh(w["image"].conv(y, reflect=3))


def feature_encoder(network, images, instances):
    w = weights(network)
    x = _head(w["head"], _stem(w["stem"], images, len(network.head)), len(network.head))
    x = paddle.tanh(w["image"].conv(x, reflect=3)).numpy()
    ids, y = instances.numpy(), np.empty_like(x)
    for n in range(len(ids)):
        for i in np.unique(ids[n]):
            y[n, :, ids[n] == i] = x[n, :, ids[n] == i].mean(axis=0)
    return y
