//! What is packed: nodes, and tasks in the order in which they come.

use std::path::Path;

use anyhow::Context as _;

/// Thousandths of a core, MiB of memory, thousandths of a GPU.
pub(crate) type Amounts = [u64; 3];

/// The places of processor and GPUs in [`Amounts`].
pub(crate) const CPU: usize = 0;
pub(crate) const GPU: usize = 2;

/// Nodes and tasks.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) name: &'static str,
    pub(crate) nodes: Vec<Amounts>,
    /// More than fit.
    pub(crate) tasks: Vec<Amounts>,
    /// How many of them are the list of which all have to be placed on as few nodes as possible.
    pub(crate) list: usize,
    /// Of what it is counted how full the nodes are: what runs out first.
    pub(crate) counted: usize,
}

impl Fleet {
    /// The list is as many of the first tasks as hold half of what there is.
    fn new(name: &'static str, nodes: Vec<Amounts>, tasks: Vec<Amounts>, counted: usize) -> Self {
        let mut fleet = Self { name, nodes, tasks, list: 0, counted };
        let mut held = 0;
        let sums = fleet.tasks.iter().map(|task| {
            held += task[counted];
            held
        });
        fleet.list = sums.take_while(|held| fleet.share(*held) <= 0.5).count();
        fleet
    }

    /// The same nodes, and tasks drawn from its own: as many, in another order, some more often and some not at all.
    pub(crate) fn drawn(&self, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let count = self.tasks.len() as u64;
        let draws = self.tasks.iter().map(|_| chance.below(count));
        let tasks = draws.map(|draw| self.tasks[usize::try_from(draw).unwrap()]).collect();
        Self::new(self.name, self.nodes.clone(), tasks, self.counted)
    }

    /// The first so many of its nodes, and its list.
    pub(crate) fn first(&self, nodes: usize) -> Self {
        let (nodes, tasks) = (self.nodes[..nodes].to_vec(), self.tasks[..self.list].to_vec());
        Self { nodes, tasks, ..*self }
    }

    /// What all nodes have of what is counted.
    #[allow(clippy::cast_precision_loss, reason = "shares of large numbers")]
    pub(crate) fn share(&self, placed: u64) -> f64 {
        placed as f64 / self.nodes.iter().map(|node| node[self.counted]).sum::<u64>() as f64
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same fleet in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// One of the first parts, by the weights beside them.
    fn pick<T: Copy>(&mut self, all: &[(T, u64)]) -> T {
        let mut left = self.below(all.iter().map(|(_, weight)| weight).sum());
        for (one, weight) in all {
            if left < *weight {
                return *one;
            }
            left -= weight;
        }
        all[0].0
    }
}

/// The mix five times over, and tasks of which 100 kinds of 500 each find room.
pub(crate) fn large() -> Fleet {
    let mixed = mixed();
    Fleet::new("EC2-like mix, 10,000 nodes", mixed.nodes.repeat(5), mixed.tasks, CPU)
}

/// 2,000 nodes as EC2 has them, 2, 4 and 8 GiB to a core (c5, m5, r5) and 2 to 16 cores, and services as they are: most of
/// them small, some with much memory and some with much processor.
pub(crate) fn mixed() -> Fleet {
    const RATIOS: [(u64, u64); 3] = [(2, 1), (4, 2), (8, 1)];
    const CORES: [(u64, u64); 4] = [(2, 1), (4, 1), (8, 1), (16, 1)];
    const TASKS: [(Amounts, u64); 18] = [
        ([100, 128, 0], 10),
        ([250, 256, 0], 10),
        ([250, 512, 0], 12),
        ([500, 512, 0], 10),
        ([500, 1_024, 0], 14),
        ([250, 2_048, 0], 4),
        ([500, 4_096, 0], 4),
        ([1_000, 1_024, 0], 8),
        ([1_000, 2_048, 0], 12),
        ([1_000, 4_096, 0], 10),
        ([1_000, 8_192, 0], 6),
        ([2_000, 2_048, 0], 4),
        ([2_000, 4_096, 0], 6),
        ([2_000, 8_192, 0], 6),
        ([2_000, 16_384, 0], 4),
        ([4_000, 8_192, 0], 3),
        ([4_000, 16_384, 0], 2),
        ([4_000, 30_720, 0], 1),
    ];
    let mut chance = Chance(1);
    let nodes: Vec<Amounts> = (0..2_000)
        .map(|_| (chance.pick(&RATIOS), chance.pick(&CORES)))
        .map(|(ratio, cores)| [cores * 1_000, cores * ratio * 1_024, 0])
        .collect();
    let tasks: Vec<Amounts> = (0..30_000).map(|_| chance.pick(&TASKS)).collect();
    let name = "EC2-like mix, 2,000 nodes";
    Fleet::new(name, nodes, tasks, CPU)
}

/// A fleet with GPUs of the same shape as the public trace: half of all tasks ask for one GPU, a third for a share of one,
/// and few for several.
pub(crate) fn with_gpus() -> Fleet {
    const NODES: [(Amounts, u64); 12] = [
        ([96_000, 393_216, 8_000], 549),
        ([104_000, 524_288, 2_000], 387),
        ([32_000, 262_144, 0], 129),
        ([16_000, 122_880, 2_000], 107),
        ([96_000, 524_288, 0], 59),
        ([128_000, 786_432, 8_000], 39),
        ([96_000, 393_216, 0], 30),
        ([32_000, 131_072, 4_000], 28),
        ([64_000, 262_144, 2_000], 22),
        ([64_000, 524_288, 0], 45),
        ([96_000, 786_432, 8_000], 29),
        ([8_000, 32_768, 1_000], 19),
    ];
    const TASKS: [(Amounts, u64); 18] = [
        ([3_152, 5_600, 810], 1_070),
        ([11_300, 49_152, 1_000], 1_200),
        ([11_400, 48_128, 1_000], 900),
        ([3_152, 5_600, 1_000], 470),
        ([18_708, 64_512, 1_000], 540),
        ([8_000, 16_384, 1_000], 500),
        ([24_200, 93_184, 1_000], 200),
        ([11_908, 47_104, 470], 390),
        ([8_000, 30_517, 470], 490),
        ([11_908, 47_104, 650], 250),
        ([4_000, 22_888, 320], 330),
        ([4_000, 30_517, 230], 200),
        ([4_152, 10_600, 550], 150),
        ([12_500, 57_344, 0], 560),
        ([32_000, 49_152, 0], 284),
        ([8_000, 30_517, 0], 250),
        ([32_000, 131_072, 2_000], 20),
        ([88_000, 327_680, 8_000], 44),
    ];
    let mut chance = Chance(2);
    let nodes = (0..1_523).map(|_| chance.pick(&NODES)).collect();
    let tasks = (0..16_000).map(|_| chance.pick(&TASKS)).collect();
    Fleet::new("GPUs, 1,523 nodes", nodes, tasks, GPU)
}

/// The trace in a folder: Alibaba's GPU cluster of 2023 (Weng et al., USENIX ATC 2023). When its tasks have all been placed
/// they come again. Its nodes, which the file sorts by kind, come in any order.
pub(crate) fn traced(folder: &Path) -> anyhow::Result<Fleet> {
    let nodes = rows(&folder.join("openb_node_list_all_node.csv"))?;
    let nodes: anyhow::Result<Vec<Amounts>> = nodes
        .iter()
        .map(|row| Ok([number(row, 1)?, number(row, 2)?, number(row, 3)? * 1_000]))
        .collect();
    let tasks = rows(&folder.join("openb_pod_list_default.csv"))?;
    let tasks: anyhow::Result<Vec<Amounts>> = tasks
        .iter()
        .map(|row| Ok([number(row, 1)?, number(row, 2)?, number(row, 3)? * number(row, 4)?]))
        .collect();
    let (mut nodes, mut tasks) = (nodes?, tasks?);
    let mut chance = Chance(3);
    // Fisher and Yates.
    for last in (1..nodes.len()).rev() {
        let other = usize::try_from(chance.below(last as u64 + 1))?;
        nodes.swap(last, other);
    }
    tasks.extend_from_within(..);
    Ok(Fleet::new("the trace", nodes, tasks, GPU))
}

/// The rows below the head of a file.
fn rows(path: &Path) -> anyhow::Result<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the trace {} can not be read", path.display()))?;
    Ok(text.lines().skip(1).map(|row| row.split(',').map(str::to_owned).collect()).collect())
}

fn number(row: &[String], column: usize) -> anyhow::Result<u64> {
    let text = row.get(column).with_context(|| format!("{row:?} has no column {column}"))?;
    text.parse().with_context(|| format!("{text:?} of {row:?} is no number"))
}
