"""The trainers that `benchmarks.training` times, each in a process of its own.

Each module has a function `prepare(folder, epochs, device, option)`. It loads the data from `folder` (x_train.npy,
x_test.npy and MNIST/raw) and returns a function that trains and returns the seconds and the test error.
"""
