r"""MIND-SSC as a TorchScript module.

The modality independent neighbourhood descriptor, as self-similarity context: M. P. Heinrich,
M. Jenkinson, B. W. Papiez, M. Brady, J. A. Schnabel: *Towards realtime multimodal fusion for
image-guided interventions using self-similarities*, MICCAI 2013, LNCS 8149, pp. 187-194.

Around each voxel :math:`v` stand its neighbours :math:`v + p` at the distance ``dilation`` along
the axes, six in 3D and four in 2D. Channel :math:`k` compares the patches around two of them that
lie side by side, :math:`\sqrt{2}` times ``dilation`` apart (opposite neighbours are not compared):
12 pairs in 3D, 4 in 2D.

.. math::
    d_k(v) &= \operatorname{mean}_{|o|_\infty \le \mathrm{radius}}
              (I(v + p_k + o) - I(v + q_k + o))^2 \\
    s_k(v) &= d_k(v) - \min_j d_j(v) \\
    \mathrm{MIND}_k(v) &= \exp(-s_k(v) / \sigma^2(v)), \qquad
    \sigma^2(v) = \max(\operatorname{mean}_k s_k(v), \epsilon(v) +
    \tfrac{1}{1000} \operatorname{mean}_k d_k(v))

Beyond its edges the image goes on with the values at the edge. Scaling the intensities changes
nothing.

The authors' released code differs in two places, both of which would make the features of a patch
depend on where the patch ends: it clamps :math:`\sigma^2` to between 0.001 and 1000 times its mean
over the image at hand, and beyond the edge it continues the differences, not the image. IMPACT
takes features from whole images, from tiles and from small patches, and these have to agree. So
here all is local, and they agree to the bit:
:math:`\epsilon(v) = (32 \cdot 2^{-23})^2 \operatorname{mean}_o I(v + o)^2` is the level at which
differences are rounding errors of 32-bit intensities, which count as none, and a thousandth of the
mean distance takes the place of the released code's lower bound, so that where all distances are
nearly equal the descriptor stays smooth. In the lung CT pair of
the demo the released code's bound acts on two voxels in a thousand that are not constant anyway; a
constant region gives 1 in all channels either way.
"""

# TorchScript reads the annotations below as they are, so `from __future__ import annotations`
# cannot stand here.
import torch
from torch import Tensor, nn


class MindSSC(nn.Module):
    """MIND-SSC of a batch of grey images.

    Channels follow the pairs of axes (z, y), (z, x), (y, x), in 2D (y, x) alone, and for each pair
    the signs --, -+, +-, ++: the first channel compares the neighbour at -z with that at -y.

    Sums run in a fixed order, so that a result is the same to the bit for any number of threads,
    and as our own kernels give it (src/cpp/impact/models/mind.h), which whole images go through.

    Args:
        radius: Patch radius in voxels.
        dilation: Distance of the neighbours in voxels.
        dimension: 2 or 3, the spatial dimensions of the input.
    """

    pairs: list[list[int]]

    def __init__(self, radius: int, dilation: int, dimension: int) -> None:
        super().__init__()
        self.radius = radius
        self.dilation = dilation
        self.dimension = dimension
        self.pairs = [
            [first, first_sign, second, second_sign]
            for first in range(dimension)
            for second in range(first + 1, dimension)
            for first_sign in (-1, 1)
            for second_sign in (-1, 1)
        ]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the descriptor.

        Args:
            x: Images ``(N, 1, H, W)`` or ``(N, 1, D, H, W)``. Anything but float64 is computed in
                float32, since squared intensities leave the range of float16.

        Returns:
            One tensor ``(N, 4, H, W)`` or ``(N, 12, D, H, W)``, values in (0, 1], in the type of
            ``x``.
        """
        assert x.dim() == self.dimension + 2, (
            "MIND: wrong number of dimensions, expected (N, 1, [D,] H, W)"
        )
        assert x.size(1) == 1, "MIND: wrong number of channels, expected 1 (NumberOfChannels)"
        image = x if x.dtype == torch.float64 else x.to(torch.float32)
        margin = [self.radius + self.dilation] * (2 * self.dimension)
        image = nn.functional.pad(image, margin, mode="replicate")

        distances: list[Tensor] = []
        for pair in self.pairs:
            difference = self.shifted(image, pair[0], pair[1]) - self.shifted(
                image, pair[2], pair[3]
            )
            distances.append(self.patch_mean(difference * difference))
        distance = torch.cat(distances, 1)
        level = self.channel_mean(distance) * 1e-3
        distance = distance - distance.amin(1, keepdim=True)

        centre = self.shifted(image, 0, 0)
        rounding = self.patch_mean(centre * centre) * (32.0 / 2.0**23) ** 2
        # The square of the smallest variance must still be a number: the derivative divides by it.
        variance = torch.maximum(self.channel_mean(distance), rounding + level + 1e-18)
        features = torch.exp(-distance / variance)
        return [features.to(x.dtype) if x.is_floating_point() else features]

    def shifted(self, image: Tensor, axis: int, sign: int) -> Tensor:
        """View ``image`` shifted by ``sign * dilation`` on ``axis``, cropped by ``dilation``."""
        for a in range(self.dimension):
            start = self.dilation * (1 + sign) if a == axis else self.dilation
            image = image.narrow(a + 2, start, image.size(a + 2) - 2 * self.dilation)
        return image

    def channel_mean(self, distance: Tensor) -> Tensor:
        """Average over the channels, one after the other: torch's own sums have no one order."""
        total = distance.narrow(1, 0, 1)
        for channel in range(1, distance.size(1)):
            total = total + distance.narrow(1, channel, 1)
        return total / float(distance.size(1))

    def patch_mean(self, image: Tensor) -> Tensor:
        """Average over the patch around each voxel, cropping the image by ``radius`` all round."""
        for a in range(self.dimension):
            size = image.size(a + 2) - 2 * self.radius
            total = image.narrow(a + 2, 0, size)
            for start in range(1, 2 * self.radius + 1):
                total = total + image.narrow(a + 2, start, size)
            image = total / float(2 * self.radius + 1)
        return image
