//! The choice of a worker: two drawn at random, the cheaper one taken.
//!
//! Compared with the cheapest of all, it does not send every core's next call to the same worker on one stale number. It is also the
//! bound on what a lie brings: of k workers one is among the two drawn with chance 2/k, so that is the most it can
//! get, twice its fair share, whatever it reports.

/// Draws of each candidate before the scan. While half of the workers take calls, fifteen picks of sixteen need no scan.
const DRAWS: usize = 4;

/// Picks the cheaper of two candidates drawn at random, power of two choices.
///
/// `costs(i)` belongs to candidate `i` of `n`: `None` may not take the call, NaN counts as the highest. `exclude` is never picked (a
/// retry's first worker). Gives `None` only where no candidate is left. A candidate alone is picked whatever it costs; equal costs are
/// even. O(1) while many may take the call, else one scan from a random start; no allocation. Seed `rng` in tests.
/// Source: Mitzenmacher 2001, power of two choices.
pub fn pick(
    costs: impl Fn(usize) -> Option<f64>,
    n: usize,
    rng: &mut Rng,
    exclude: Option<usize>,
) -> Option<usize> {
    if n == 1 {
        return exclude.is_none_or(|not| not != 0).then(|| costs(0)).flatten().map(|_| 0);
    }
    let (first, first_cost) = draw(&costs, n, rng, [exclude, None])?;
    let Some((second, second_cost)) = draw(&costs, n, rng, [exclude, Some(first)]) else {
        return Some(first);
    };
    Some(if second_cost < first_cost { second } else { first })
}

/// One candidate that may take the call and is none of `not`, with its cost.
fn draw(
    costs: &impl Fn(usize) -> Option<f64>,
    n: usize,
    rng: &mut Rng,
    not: [Option<usize>; 2],
) -> Option<(usize, f64)> {
    let cost = |index: usize| {
        let cost = if not.contains(&Some(index)) { None } else { costs(index) };
        cost.map(|cost| (index, if cost.is_nan() { f64::INFINITY } else { cost }))
    };
    if n == 0 {
        return None;
    }
    if let Some(found) = (0..DRAWS).find_map(|_| cost(rng.below(n))) {
        return Some(found);
    }
    let start = rng.below(n);
    (start..n).chain(0..start).find_map(cost)
}

/// Small seeded random numbers (splitmix64): fast and evenly spread, and no secret may ever hang on them.
/// Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Every seed is good, also 0; the same seed gives the same numbers.
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// The next of 2^64 equally likely numbers.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `n - 1`, and 0 for an `n` of 0. The bias is n / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        // The upper half of the product is below `n`, so it fits.
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{Rng, pick};
    use proptest::prelude::{any, prop_assert, proptest};

    const ROUNDS: usize = 60_000;

    fn counts(costs: &[Option<f64>], exclude: Option<usize>) -> Vec<usize> {
        let mut rng = Rng::new(7);
        let mut counts = vec![0; costs.len()];
        for _ in 0..ROUNDS {
            counts[pick(|i| costs[i], costs.len(), &mut rng, exclude).expect("someone is free")] += 1;
        }
        counts
    }

    fn near(count: usize, share: f64) -> bool {
        (count as f64 / ROUNDS as f64 - share).abs() < 0.01
    }

    #[test]
    fn nobody_is_picked_from_nobody() {
        let mut rng = Rng::new(1);
        assert_eq!(pick(|_| Some(1.0), 0, &mut rng, None), None);
        assert_eq!(pick(|_| None, 5, &mut rng, None), None);
        assert_eq!(pick(|_| Some(1.0), 1, &mut rng, Some(0)), None);
    }

    #[test]
    fn equal_costs_are_even() {
        assert!(counts(&[Some(1.0); 5], None).iter().all(|&count| near(count, 0.2)));
    }

    #[test]
    fn the_cheapest_gets_twice_its_share_and_the_dearest_nothing() {
        let counts = counts(&[Some(3.0), Some(1.0), Some(9.0), Some(2.0)], None);
        assert!(near(counts[1], 1.0 / 2.0) && near(counts[3], 1.0 / 3.0), "{counts:?}");
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn the_excluded_is_never_picked() {
        let counts = counts(&[Some(0.0), Some(1.0), Some(1.0)], Some(0));
        assert!(counts[0] == 0 && near(counts[1], 0.5), "{counts:?}");
    }

    #[test]
    fn one_free_among_many_is_found() {
        let mut rng = Rng::new(3);
        for free in 0..1_000 {
            assert_eq!(pick(|i| (i == free).then_some(1.0), 1_000, &mut rng, None), Some(free));
        }
    }

    #[test]
    fn nan_is_the_highest_cost_and_no_poison() {
        let counts = counts(&[Some(f64::NAN), Some(1e300), Some(f64::NAN)], None);
        assert!(near(counts[1], 2.0 / 3.0), "{counts:?}");
        assert!(near(counts[0], 1.0 / 6.0), "{counts:?}");
    }

    #[test]
    fn the_same_seed_picks_the_same() {
        let run = |seed| {
            let mut rng = Rng::new(seed);
            (0..100).map(|_| pick(|i| Some(i as f64), 50, &mut rng, None)).collect::<Vec<_>>()
        };
        assert_eq!(run(9), run(9));
        assert_ne!(run(9), run(10));
    }

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    proptest! {
        #[test]
        fn whoever_is_picked_may_take_the_call_and_someone_is_if_any_may(
            costs in proptest::collection::vec(proptest::option::of(any::<f64>()), 0..20),
            exclude in proptest::option::of(0..25usize),
            seed in any::<u64>(),
        ) {
            let may = |i: usize| Some(i) != exclude && costs[i].is_some();
            match pick(|i| costs[i], costs.len(), &mut Rng::new(seed), exclude) {
                Some(index) => prop_assert!(may(index)),
                None => prop_assert!(!(0..costs.len()).any(may)),
            }
        }

        #[test]
        fn below_stays_below(n in 0..usize::MAX, seed in any::<u64>()) {
            let number = Rng::new(seed).below(n);
            prop_assert!(number < n || (n == 0 && number == 0));
        }
    }
}
