"""The claims of the guide: whether the library, as it is here, still shows what was recorded of them."""

from ncps_mlx._evidence.build_check import check

__all__ = ["check"]
