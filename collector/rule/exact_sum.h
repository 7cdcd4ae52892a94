// A sum of doubles that values can be taken out of again without a trace.
//
// A running sum that adds and subtracts drifts, and says something else after a restart than it
// would have without. This one keeps the exact sum as a few doubles that do not overlap (J. R.
// Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997; Python's math.fsum), so that it
// depends on nothing but which values are in it.
#pragma once

#include <vector>

namespace ridgeline::collector {

class ExactSum {
  public:
    void add(double value);  // finite
    void subtract(double value) { add(-value); }
    // Rounded once; may be infinite where the sum is beyond what a double holds.
    double value() const { return mean(1); }
    // The sum divided by `count`, as near as doubles are, so that the mean of equal values is that
    // value; finite whenever no value is greater than the greatest double.
    double mean(double count) const;

  private:
    void add_scaled(double rest);
    double rounded() const;

    std::vector<double> parts_;  // of rising magnitude, scaled
};

}  // namespace ridgeline::collector
