//! Machine images, as operators ask about them.

mod recipe;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::event::{BakeEvent, Event, Reply};
use coordinator_core::image_set::{self, Choice};
use coordinator_core::view::bake::collect;
use model::bake::Recipe;
use model::id::{AmiId, BakeId};
use model::image::{Digest, Pin};
use proto::convert::{ami_to_wire, bake_to_wire, image_from_wire, image_to_wire, recipe_from_wire};
use proto::wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::Shared;
use crate::api::access::by;
use crate::api::control::Answers;
use crate::api::fleet::unavailable;
use crate::api::{accepted, hinted, invalid, resolve};
use crate::bake_logs::BakeLogs;

/// So many published images of each recipe stay unless it is said otherwise.
const KEEP: u32 = 3;
/// Pieces that wait for a slow reader.
const QUEUE: usize = 16;
/// Who follows a log is shown more after at most this.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// The service that operators call.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl wire::bakes_server::Bakes for Images {
    type BakeLogsStream = Answers<wire::BakeLogChunk>;

    async fn start_bake(
        &self,
        request: Request<wire::StartBakeRequest>,
    ) -> Result<Response<wire::StartBakeResponse>, Status> {
        let by = by(&request)?;
        let mut request = request.into_inner();
        self.can_bake(request.dry_run)?;
        self.pin(request.recipe.as_mut()).await?;
        let recipe = recipe_from_wire(request.recipe.as_ref()).map_err(|error| invalid(&error))?;
        let choices = self.choose(&recipe);
        let mut answer = wire::StartBakeResponse {
            bake: String::new(),
            bytes: choices.iter().filter(|one| one.is_chosen).filter_map(|one| one.bytes).sum(),
            budget_bytes: recipe.images.budget_bytes,
            choices: choices.iter().map(choice_to_wire).collect(),
        };
        if request.dry_run {
            return Ok(Response::new(answer));
        }
        let images = image_set::chosen(&choices);
        let (recipe, keeps) = (Box::new(recipe), request.keep);
        let event = Event::Bake(BakeEvent::Start { recipe, images, keeps });
        if let Reply::Baking(id) = accepted(self.shared.door.ask_by(by, event).await)? {
            answer.bake = id.to_string();
        }
        let known = |name: &str| {
            let state = self.shared.published.read();
            name.parse::<BakeId>().is_ok_and(|id| state.cluster.bakes().contains_key(&id))
        };
        self.shared.bake_logs.forget(known);
        Ok(Response::new(answer))
    }

    async fn list_bakes(
        &self,
        request: Request<wire::ListBakesRequest>,
    ) -> Result<Response<wire::ListBakesResponse>, Status> {
        let name = request.into_inner().bake;
        let state = self.shared.published.read();
        let mut bakes: Vec<_> = state.cluster.bakes().values().collect();
        bakes.retain(|bake| name.is_empty() || bake.id.as_str() == name);
        bakes.sort_by_key(|bake| bake.started_at);
        if bakes.is_empty() && !name.is_empty() {
            return Err(Status::not_found(format!("there is no bake {name}")));
        }
        let view = |bake: &&Arc<model::bake::Bake>| wire::BakeView {
            bake: Some(bake_to_wire(bake)),
            doing: bake.doing(),
            trouble: state.cluster.bake_trouble(&bake.id).unwrap_or_default().to_owned(),
            word: bake.phase.word().to_owned(),
            cause: bake.cause.to_string(),
        };
        let bakes = bakes.iter().map(view).collect();
        Ok(Response::new(wire::ListBakesResponse { bakes }))
    }

    async fn retry_bake(
        &self,
        request: Request<wire::RetryBakeRequest>,
    ) -> Result<Response<wire::RetryBakeResponse>, Status> {
        let by = by(&request)?;
        let id = bake_id(&request.into_inner().bake)?;
        accepted(self.shared.door.ask_by(by, Event::Bake(BakeEvent::Retry(id))).await)?;
        Ok(Response::new(wire::RetryBakeResponse {}))
    }

    async fn remove_bake(
        &self,
        request: Request<wire::RemoveBakeRequest>,
    ) -> Result<Response<wire::RemoveBakeResponse>, Status> {
        let by = by(&request)?;
        let id = bake_id(&request.into_inner().bake)?;
        accepted(self.shared.door.ask_by(by, Event::Bake(BakeEvent::Remove(id))).await)?;
        Ok(Response::new(wire::RemoveBakeResponse {}))
    }

    async fn bake_logs(
        &self,
        request: Request<wire::BakeLogsRequest>,
    ) -> Result<Response<Self::BakeLogsStream>, Status> {
        let request = request.into_inner();
        let id = bake_id(&request.bake)?;
        if !self.shared.published.read().cluster.bakes().contains_key(&id) {
            return Err(Status::not_found(format!("there is no bake {id}")));
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(follow(Arc::clone(&self.shared), id, request.follow, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn put_recipe(
        &self,
        request: Request<wire::PutRecipeRequest>,
    ) -> Result<Response<wire::PutRecipeResponse>, Status> {
        let by = by(&request)?;
        self.put(by, request.into_inner()).await.map(Response::new)
    }

    async fn list_recipes(
        &self,
        request: Request<wire::ListRecipesRequest>,
    ) -> Result<Response<wire::ListRecipesResponse>, Status> {
        self.recipes(&request.into_inner().recipe).map(Response::new)
    }

    async fn steer_recipe(
        &self,
        request: Request<wire::SteerRecipeRequest>,
    ) -> Result<Response<wire::SteerRecipeResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        let (recipe, is_paused) = (recipe::name(&request.recipe)?, request.paused);
        let event = Event::Bake(BakeEvent::SteerRecipe { recipe, is_paused });
        accepted(self.shared.door.ask_by(by, event).await)?;
        Ok(Response::new(wire::SteerRecipeResponse {}))
    }

    async fn remove_recipe(
        &self,
        request: Request<wire::RemoveRecipeRequest>,
    ) -> Result<Response<wire::RemoveRecipeResponse>, Status> {
        let by = by(&request)?;
        let event = BakeEvent::RemoveRecipe(recipe::name(&request.into_inner().recipe)?);
        accepted(self.shared.door.ask_by(by, Event::Bake(event)).await)?;
        Ok(Response::new(wire::RemoveRecipeResponse {}))
    }

    async fn list_amis(
        &self,
        request: Request<wire::ListAmisRequest>,
    ) -> Result<Response<wire::ListAmisResponse>, Status> {
        let name = request.into_inner().ami;
        let state = self.shared.published.read();
        let mut amis: Vec<_> = state.cluster.amis().values().collect();
        amis.retain(|ami| name.is_empty() || ami.id.as_str() == name || ami.name == name);
        amis.sort_by_key(|ami| ami.made_at);
        if amis.is_empty() && !name.is_empty() {
            return Err(Status::not_found(format!("there is no image {name}")));
        }
        let amis = amis.iter().map(|ami| ami_to_wire(ami)).collect();
        Ok(Response::new(wire::ListAmisResponse { amis }))
    }

    async fn collect_amis(
        &self,
        request: Request<wire::CollectAmisRequest>,
    ) -> Result<Response<wire::CollectAmisResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        self.can_bake(request.dry_run)?;
        // What groups launch may have been changed since it was last looked at.
        if let Some(fleet) = &self.shared.fleet {
            fleet.look_now().await.map_err(|error| unavailable(&error))?;
        }
        let (verdicts, going) = self.judge(request.keep.unwrap_or(KEEP));
        if !request.dry_run && !going.is_empty() {
            let event = Event::Bake(BakeEvent::Retire(going));
            accepted(self.shared.door.ask_by(by, event).await)?;
        }
        Ok(Response::new(wire::CollectAmisResponse { verdicts }))
    }
}

impl Images {
    fn can_bake(&self, dry_run: bool) -> Result<(), Status> {
        let can = self.shared.fleet.as_ref().is_some_and(|fleet| fleet.bakes());
        if can || dry_run {
            return Ok(());
        }
        Err(hinted(
            Status::failed_precondition("this coordinator knows no cloud"),
            "start it with --aws where it has credentials; docs/bake.md says which permissions it needs",
        ))
    }

    /// Finds out what tags mean, once: from then on it is that.
    async fn pin(&self, recipe: Option<&mut wire::Recipe>) -> Result<(), Status> {
        let images = recipe.and_then(|recipe| recipe.images.as_mut());
        for image in images.into_iter().flat_map(|images| &mut images.extra) {
            if image.pin.is_none() {
                *image = resolve::resolve(&self.shared, &image.reference).await?;
            }
            let read = image_from_wire(image).map_err(|error| invalid(&error))?;
            if matches!(read.pin, Pin::Local(_)) {
                return Err(hinted(
                    Status::failed_precondition(format!("image {read} is in no registry")),
                    "push it: a builder has to pull it",
                ));
            }
        }
        Ok(())
    }

    fn choose(&self, recipe: &Recipe) -> Vec<Choice> {
        let sizes: BTreeMap<Digest, u64> = self.shared.sessions.image_sizes();
        let state = self.shared.published.read();
        image_set::choose(&state.cluster, &recipe.images, &sizes)
    }

    fn judge(&self, keep: u32) -> (Vec<wire::AmiVerdict>, Vec<AmiId>) {
        let state = self.shared.published.read();
        let judged = collect(&state.cluster, keep);
        let name = |id: &AmiId| state.cluster.amis().get(id).map(|ami| ami.name.clone());
        let verdict = |one: &coordinator_core::view::bake::Verdict| wire::AmiVerdict {
            ami: one.ami.to_string(),
            name: name(&one.ami).unwrap_or_default(),
            goes: one.goes,
            why: one.why.clone(),
        };
        let verdicts = judged.iter().map(verdict).collect();
        (verdicts, judged.into_iter().filter(|one| one.goes).map(|one| one.ami).collect())
    }
}

fn choice_to_wire(choice: &Choice) -> wire::ImageChoice {
    wire::ImageChoice {
        image: Some(image_to_wire(&choice.image)),
        chosen: choice.is_chosen,
        why: choice.why.clone(),
        bytes: choice.bytes,
    }
}

fn bake_id(text: &str) -> Result<BakeId, Status> {
    text.parse().map_err(|error: model::id::NameError| Status::invalid_argument(error.to_string()))
}

/// Shows what the machines of a bake have written, one after the other; when following, until the bake is over.
async fn follow(
    shared: Arc<Shared>,
    bake: BakeId,
    follows: bool,
    sender: mpsc::Sender<Result<wire::BakeLogChunk, Status>>,
) {
    let mut shown: BTreeMap<std::path::PathBuf, u64> = BTreeMap::new();
    loop {
        // Looked at before the files are: what is written until then is shown.
        let is_over = {
            let state = shared.published.read();
            state.cluster.bakes().get(&bake).is_none_or(|bake| {
                matches!(bake.phase, model::bake::BakePhase::Kept { .. }) || bake.phase.is_over()
            })
        };
        let mut is_new = false;
        for path in shared.bake_logs.machines(&bake) {
            let from = shown.entry(path.clone()).or_default();
            let Ok(piece) = BakeLogs::read(&path, *from) else { continue };
            *from += u64::try_from(piece.len()).unwrap_or_default();
            is_new |= !piece.is_empty();
            if !piece.is_empty()
                && sender.send(Ok(wire::BakeLogChunk { data: piece })).await.is_err()
            {
                return;
            }
        }
        if is_new {
            continue;
        }
        if is_over || !follows {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = sender.closed() => return,
        }
    }
}
