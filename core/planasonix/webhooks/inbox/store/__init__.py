"""The two stores of an inbox. They differ in how a writer gets the lock, and in what is the time."""
