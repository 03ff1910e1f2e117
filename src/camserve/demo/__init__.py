"""The whole way on real data: handwritten digits trained, exported, published, served, classified and explained."""

from camserve.demo.walkthrough import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
