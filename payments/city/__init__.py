"""Pages and files for the public: how many pay without cash, with numerator and denominator."""
