"""The whole way on real data: handwritten digits trained, exported, published, served, classified and explained."""

from camserve.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
