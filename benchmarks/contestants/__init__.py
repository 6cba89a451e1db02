"""The trainers that `benchmarks.training` times, each in a process of its own.

A module here has `prepare(folder, epochs, device)`, which loads what it needs and gives the function to be timed;
that gives the seconds of its training and its test error. `folder` holds x_train.npy, x_test.npy and MNIST/raw.
"""
